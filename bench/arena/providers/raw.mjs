// What a program does without any service: it starts a browser of its own, in create, and kills it.
import { killing, launch } from '../chromium.mjs';

export const what = 'browser started in create';

export async function open(arena) {
  const { release, clear } = killing();
  let count = 0;
  return {
    url: arena.site.url,
    async create() {
      const browser = await launch(arena.browser, arena.scratch);
      return { id: `raw-${++count}`, cdpUrl: browser.wsUrl, browser };
    },
    release,
    rest: clear,
  };
}
