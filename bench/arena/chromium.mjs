// Chromium without Berth: finds the binary, starts one outside any jail, and lays it out where Playwright and browserless look.
// Owns: the processes it started, until their remove().
import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../../worker/driver/process_flags.c', import.meta.url));
const FLAGS = fileURLToPath(new URL('../../worker/browser_flags.def', import.meta.url));
const START_LIMIT_MS = 30000;
const living = new Set();

function executable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The browser that Berth would start: BERTH_BROWSER or the first of the places the worker looks at. */
export function findBrowser() {
  const places = /known\[\] = \{([^}]*)\}/.exec(readFileSync(SOURCE, 'utf8'))[1].match(/\/[^"]+/g);
  const found = process.env.BERTH_BROWSER || places.find(executable);
  if (!found) throw new Error('no browser: install chromium-headless-shell (or chromium), or set BERTH_BROWSER');
  return found;
}

/** The worker's own flags, read from its source, so that every browser in the race is the same one. */
function flags(browser, dir) {
  const text = readFileSync(existsSync(FLAGS) ? FLAGS : SOURCE, 'utf8');
  const list = [...text.matchAll(/^(?:BROWSER_FLAG\(| {4})"(--[^"]+)"[,)]/gm)].map((m) => m[1]);
  if (list.length < 10) throw new Error("the worker's flags were not found in its source");
  if (!browser.includes('headless')) list.unshift('--headless=new');
  // Outside a jail Chromium refuses its sandbox to root.
  if (process.getuid() === 0) list.push('--no-sandbox');
  return ['--remote-debugging-port=0', `--user-data-dir=${dir}`, ...list, 'about:blank'];
}

/** Starts one; resolves when it listens: { wsUrl, kill(), remove() }. kill only sends the signal; remove waits and clears up. */
export async function launch(browser, scratch) {
  const dir = mkdtempSync(join(scratch, 'profile-'));
  const child = spawn(browser, flags(browser, dir), { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const kill = () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  };
  const remove = async () => {
    kill();
    await ended;
    living.delete(remove);
    rmSync(dir, { recursive: true, force: true, maxRetries: 10 });
  };
  living.add(remove);
  let text = '';
  let timer;
  const wsUrl = await new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the browser did not listen in ${START_LIMIT_MS} ms\n${text.slice(-1000)}`)), START_LIMIT_MS);
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`the browser ended before it listened\n${text.slice(-1000)}`)));
    child.stderr.setEncoding('utf8').on('data', (part) => {
      if (text.length < 1e5) text += part;
      const match = /DevTools listening on (ws:\S+)/.exec(text);
      if (match) resolve(match[1]);
    });
  }).finally(() => clearTimeout(timer));
  return { wsUrl, kill, remove };
}

/** What providers that kill their browsers have in common: release({ browser }) only sends the signal, clear() waits for all of them. */
export function killing() {
  const gone = new Set();
  return {
    async release({ browser }) {
      gone.add(browser);
      browser.kill();
    },
    async clear() {
      await Promise.all([...gone].map((browser) => browser.remove()));
      gone.clear();
    },
  };
}

/** For the end of the program, whatever its reason. */
export async function killAll() {
  await Promise.all([...living].map((remove) => remove()));
}

/**
 * Playwright's servers look for browsers below PLAYWRIGHT_BROWSERS_PATH, in folders that carry a revision: puts links to
 * browser there, for the playwright-core at folder, and returns the path. Nothing is downloaded.
 */
export function layOut(browser, folder, scratch) {
  const root = join(scratch, 'browsers');
  const read = 'console.log(require(process.argv[1]).chromium.executablePath())';
  const chrome = execFileSync(process.execPath, ['-e', read, folder], {
    encoding: 'utf8',
    env: { ...process.env, PLAYWRIGHT_BROWSERS_PATH: root },
  }).trim();
  const shell = join(
    dirname(dirname(chrome)).replace('chromium-', 'chromium_headless_shell-'),
    dirname(chrome).split('/').at(-1).replace('chrome-', 'chrome-headless-shell-'),
    'chrome-headless-shell',
  );
  for (const place of [chrome, shell]) {
    mkdirSync(dirname(place), { recursive: true });
    rmSync(place, { force: true });
    symlinkSync(browser, place);
  }
  return root;
}

/** Folder of a package as seen from a file of the benchmarks, or null. */
export function packageFolder(name, from = import.meta.url) {
  for (const dir of createRequire(from).resolve.paths(name)) {
    const folder = join(dir, name);
    try {
      accessSync(join(folder, 'package.json'));
      return folder;
    } catch {
      // look further up
    }
  }
  return null;
}
