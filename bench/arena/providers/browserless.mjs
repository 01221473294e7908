// browserless (its npm package, SSPL): a WebSocket URL is a session; the browser starts when a client connects, and is killed by the
// tracking id that the client gave it.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { layOut, packageFolder } from '../chromium.mjs';
import { freePort, startServer } from '../server.mjs';
import { Unavailable } from '../unavailable.mjs';

export const what = 'browserless';
const TOKEN = 'arena';

export async function open(arena) {
  const folder = packageFolder('@browserless.io/browserless');
  if (!folder) throw new Unavailable('its npm package is not installed: run scripts/setup bench');
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 24) throw new Unavailable(`it needs Node 24, this is ${process.version}: run scripts/setup bench`);
  const playwright = packageFolder('playwright-core', join(folder, 'package.json'));
  const port = await freePort();
  const data = join(arena.scratch, 'browserless');
  mkdirSync(data, { recursive: true });
  const env = {
    ...process.env,
    HOST: '127.0.0.1',
    PORT: String(port),
    TOKEN,
    CONCURRENT: '200',
    QUEUED: '200',
    TIMEOUT: '300000',
    DEBUG: 'browserless.io:*server*:info',
    DATA_DIR: data,
    PLAYWRIGHT_BROWSERS_PATH: layOut(arena.browser, playwright, arena.scratch),
  };
  const server = await startServer([process.execPath, fileURLToPath(new URL('../browserless_start.mjs', import.meta.url)), folder], {
    env,
    cwd: folder, // it looks for its own parts there
    logFile: join(arena.dir, 'browserless.log'),
    ready: /HTTP Server is listening/,
  });
  let count = 0;
  return {
    version: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version,
    url: arena.site.url,
    async create() {
      const id = `arena-${++count}`;
      return { id, cdpUrl: `ws://127.0.0.1:${port}/chromium?token=${TOKEN}&trackingId=${id}` };
    },
    async release({ id }) {
      const response = await fetch(`http://127.0.0.1:${port}/kill/${id}?token=${TOKEN}`, { signal: AbortSignal.timeout(30000) });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`kill answered ${response.status}`);
    },
    close: () => server.end(),
  };
}
