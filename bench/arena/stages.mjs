// One session, timed as BrowserArena times it: create, connect, goto, release. The CDP connection is open while the session is
// released; what is closed afterwards is not timed. Where this is stricter than BrowserArena: a session whose release failed
// counts as failed, and nothing is retried.
import { chromium } from 'playwright-core';

export const STAGES = ['create', 'connect', 'goto', 'release'];
const FIELD = { create: 'session_creation_ms', connect: 'session_connect_ms', goto: 'page_goto_ms', release: 'session_release_ms' };
const STAGE_NAME = { create: 'session_create', connect: 'connect_over_cdp', goto: 'page_goto', release: 'session_release' };

const since = (start) => Number(process.hrtime.bigint() - start) / 1e6;

/** Runs it; resolves with a row of BrowserArena's results.jsonl, whether it succeeded or not. */
export async function runSession(provider, concurrency) {
  const row = {
    created_at: new Date().toISOString(),
    id: null,
    session_creation_ms: null,
    session_connect_ms: null,
    page_goto_ms: null,
    session_release_ms: null,
    provider: provider.name,
    concurrency,
    success: false,
    error_stage: null,
    error_message: null,
    error_screenshot_path: null,
  };
  let stage = 'create';
  let session;
  let browser;
  const timed = async (name, work) => {
    stage = name;
    const start = process.hrtime.bigint();
    const value = await work();
    row[FIELD[name]] = Math.round(since(start) * 1000) / 1000;
    return value;
  };
  const failed = (error) => {
    row.success = false;
    row.error_stage ??= STAGE_NAME[stage];
    row.error_message ??= String(error?.stack ?? error).slice(0, 2000);
  };
  try {
    session = await timed('create', () => provider.create());
    row.id = session.id;
    browser = await timed('connect', () => (provider.connect ? provider.connect(session) : chromium.connectOverCDP(session.cdpUrl)));
    await timed('goto', async () => {
      const context = browser.contexts()[0] ?? (await browser.newContext());
      const page = context.pages()[0] ?? (await context.newPage());
      await page.goto(provider.url, { waitUntil: 'domcontentloaded' });
    });
    row.success = true;
  } catch (error) {
    failed(error);
  }
  if (session) await timed('release', () => provider.release(session, browser)).catch(failed);
  await browser?.close().catch(() => {});
  return row;
}

/** The stages' times of a row, in the order of STAGES. */
export function times(row) {
  return STAGES.map((stage) => row[FIELD[stage]]);
}
