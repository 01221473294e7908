// `playwright run-server`: speaks Playwright's own protocol, and starts a browser when a client connects. It has no release but
// the end of the connection.
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { layOut, packageFolder } from '../chromium.mjs';
import { startServer } from '../server.mjs';

export const what = 'Playwright run-server';

export async function open(arena) {
  const folder = packageFolder('playwright-core');
  const env = { ...process.env, PLAYWRIGHT_BROWSERS_PATH: layOut(arena.browser, folder, arena.scratch), PLAYWRIGHT_SKIP_VALIDATE_HOST_REQUIREMENTS: '1' };
  const server = await startServer([process.execPath, join(folder, 'cli.js'), 'run-server', '--host', '127.0.0.1', '--port', '0'], {
    env,
    logFile: join(arena.dir, 'playwright-run-server.log'),
    ready: /Listening on (ws:\S+)/,
  });
  const address = `${server.match[1].replace('localhost', '127.0.0.1')}?browser=chromium`;
  let count = 0;
  return {
    url: arena.site.url,
    create: async () => ({ id: `run-server-${++count}`, cdpUrl: address }),
    connect: (session) => chromium.connect(session.cdpUrl),
    release: (session, browser) => browser.close(),
    close: () => server.end(),
  };
}
