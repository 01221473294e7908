// The floor: a browser that has settled is handed over for nothing: no API, no jail, no gateway. It never rendered a page.
import { killing, launch } from '../chromium.mjs';

export const what = 'settled browser for nothing';

export async function open(arena) {
  const ready = [];
  const { release, clear } = killing();
  let count = 0;
  const fill = async (n) => {
    let starting = 0;
    const one = async () => {
      while (ready.length + starting < n) {
        starting++;
        ready.push(await launch(arena.browser, arena.scratch).finally(() => starting--));
      }
    };
    await Promise.all([one(), one()]); // two at a time, as Berth's worker does
  };
  await fill(arena.pool.warm);
  return {
    url: arena.site.url,
    prepare: (n) => fill(n),
    async create() {
      const browser = ready.shift() ?? (await launch(arena.browser, arena.scratch));
      return { id: `floor-${++count}`, cdpUrl: browser.wsUrl, browser };
    },
    release,
    async rest() {
      await clear();
      await fill(arena.pool.warm);
    },
    close: () => Promise.all([clear(), ...ready.splice(0).map((browser) => browser.remove())]),
  };
}
