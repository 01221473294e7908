// Steel Browser: an application with an image and a repository but no npm package, so the arena cannot start it. STEEL_URL names one
// that runs: its sessions API as the steel-sdk uses it. It runs one session at a time.
import { Unavailable } from '../unavailable.mjs';

export const what = 'Steel';

export async function open(arena) {
  const base = process.env.STEEL_URL;
  if (!base) throw new Unavailable('it is not on npm (an image and a repository only); start one yourself and set STEEL_URL');
  if (arena.concurrency > 1) throw new Unavailable('a self-hosted Steel runs one session at a time');
  const call = async (path, body) => {
    const response = await fetch(new URL(path, base), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(120000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 200)}`);
    return text ? JSON.parse(text) : null;
  };
  return {
    url: arena.site.url,
    async create() {
      const session = await call('/v1/sessions', {});
      const cdpUrl = new URL(session.websocketUrl);
      cdpUrl.host = new URL(base).host;
      return { id: session.id, cdpUrl: cdpUrl.href };
    },
    release: ({ id }) => call(`/v1/sessions/${id}/release`, {}),
  };
}
