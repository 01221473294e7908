// Unmodified clients drive a real browser: Playwright, Puppeteer and the Browserbase SDK, over every address that Berth offers.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';
import { Browserbase } from '@browserbasehq/sdk';
import { startStack, fileScope, waitFor } from './harness.mjs';
import { startSite, withPlaywright, withPuppeteer } from './site.mjs';

const data = 'data:text/html,<title>data page</title>';

/** One stack for the tests of this file: starting real browsers is what takes the time. */
const scope = fileScope();
let stack;
let site;

before(async () => {
  site = await startSite(scope);
  stack = await startStack(scope, {
    workers: [{ env: { BERTH_DRIVER: 'process', BERTH_BERTHS: 4, BERTH_WARM: 2, BERTH_EGRESS_ALLOW: 'host' } }],
  });
});

async function create(body = {}) {
  const { status, body: session, text } = await stack.request('POST', '/v1/sessions', body);
  assert.equal(status, 201, text);
  return session;
}

async function release(id) {
  const { status, text } = await stack.request('DELETE', `/v1/sessions/${id}`);
  assert.ok(status === 200 || status === 202 || status === 204, text);
  await waitFor(async () => (await stack.session(id)).state === 'ended', { what: `the end of ${id}` });
  return stack.session(id);
}

test('Playwright over connectUrl', async () => {
  const session = await create();
  assert.match(session.connectUrl, /^ws:\/\/127\.0\.0\.1:\d+\/s\/\d+-[0-9a-f]{32}/);
  const { title, version } = await withPlaywright(session.connectUrl, `${site.url}/playwright`);
  assert.equal(title, 'Berth test /playwright');
  assert.match(version, /^\d+\./);
  assert.equal((await release(session.id)).reason, 'released');
});

test('Playwright over an http URL finds the WebSocket by itself', async () => {
  const session = await create();
  const { title } = await withPlaywright(session.connectUrl.replace(/^ws/, 'http'), `${site.url}/http`);
  assert.equal(title, 'Berth test /http');
  await release(session.id);
});

test('Playwright makes contexts, pages, cookies and screenshots', async () => {
  const session = await create();
  const browser = await chromium.connectOverCDP(session.connectUrl);
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${site.url}/a`);
  await page.goto(`${site.url}/b`);
  assert.equal(site.hits.find((hit) => hit.url === '/b').cookie, 'seen=1');
  assert.ok((await page.screenshot()).length > 1000);
  assert.equal(await page.evaluate(() => 6 * 7), 42);
  await browser.close();
  await release(session.id);
});

test('Puppeteer over connectUrl', async () => {
  const session = await create();
  const { title } = await withPuppeteer(session.connectUrl, `${site.url}/puppeteer`);
  assert.equal(title, 'Berth test /puppeteer');
  await release(session.id);
});

test('Puppeteer over browserURL', async () => {
  const session = await create();
  // Puppeteer looks for /json/version at the root of a host, so it gets the WebSocket's address from there by hand.
  const response = await fetch(`${session.connectUrl.replace(/^ws/, 'http')}/json/version`);
  const { webSocketDebuggerUrl } = await response.json();
  assert.ok(webSocketDebuggerUrl.startsWith(session.connectUrl), webSocketDebuggerUrl);
  const { title } = await withPuppeteer(webSocketDebuggerUrl, data);
  assert.equal(title, 'data page');
  await release(session.id);
});

test('two clients share a session', async () => {
  const session = await create();
  const first = await chromium.connectOverCDP(session.connectUrl);
  const second = await puppeteer.connect({ browserWSEndpoint: session.connectUrl, defaultViewport: null });
  const page = await first.contexts()[0].newPage();
  await page.goto(`${site.url}/shared`);
  await waitFor(
    async () => {
      for (const p of await second.pages()) if ((await p.title()) === 'Berth test /shared') return true;
      return false;
    },
    { what: 'the other client to see the page' },
  );
  await second.disconnect();
  assert.equal(await page.title(), 'Berth test /shared');
  await first.close();
  await release(session.id);
});

test('the Browserbase SDK: create, retrieve, list, debug, release; then Playwright', async () => {
  const bb = new Browserbase({ apiKey: 'any', baseURL: stack.url });
  const session = await bb.sessions.create({ projectId: 'default', userMetadata: { job: 'sdk' }, keepAlive: true });
  assert.equal(session.status, 'RUNNING');
  assert.ok(session.connectUrl.startsWith('ws://'));
  const { title } = await withPlaywright(session.connectUrl, `${site.url}/sdk`);
  assert.equal(title, 'Berth test /sdk');

  const again = await bb.sessions.retrieve(session.id);
  assert.equal(again.id, session.id);
  assert.equal(again.status, 'RUNNING');
  const list = await bb.sessions.list({ status: 'RUNNING' });
  assert.ok(Array.isArray(list));
  assert.ok(list.some((s) => s.id === session.id));
  assert.ok((await bb.sessions.list({ q: "user_metadata['job']:'sdk'" })).some((s) => s.id === session.id));

  const debug = await bb.sessions.debug(session.id);
  assert.ok(debug.wsUrl.startsWith('ws://'), JSON.stringify(debug));
  assert.ok(Array.isArray(debug.pages));

  const released = await bb.sessions.update(session.id, { projectId: 'default', status: 'REQUEST_RELEASE' });
  assert.equal(released.id, session.id);
  await waitFor(async () => (await bb.sessions.retrieve(session.id)).status === 'COMPLETED', { what: 'COMPLETED' });
  await assert.rejects(bb.sessions.retrieve('c0-aaaaaaaaaaaaaaaaaaaaaaaa'), (error) => error.status === 404);
});

test('CDP through the API: /v1/sessions/:id/cdp', async () => {
  const session = await create();
  const relay = `${stack.url.replace(/^http/, 'ws')}/v1/sessions/${session.id}/cdp`;
  const { title } = await withPuppeteer(relay, `${site.url}/relay`);
  assert.equal(title, 'Berth test /relay');
  await release(session.id);
});

test('ws://api/?apiKey= opens a session for one connection and ends it with the connection', async () => {
  const endpoint = `${stack.url.replace(/^http/, 'ws')}/?apiKey=any`;
  const before = new Set(await stack.sessions('ended'));
  const browser = await puppeteer.connect({ browserWSEndpoint: endpoint, defaultViewport: null });
  const page = (await browser.pages())[0] ?? (await browser.newPage());
  await page.goto(`${site.url}/one`);
  assert.equal(await page.title(), 'Berth test /one');
  const running = await stack.sessions('running');
  assert.equal(running.length, 1);
  await browser.disconnect();
  await waitFor(async () => (await stack.sessions('ended')).includes(running[0]), { what: 'the end of the session' });
  assert.equal((await stack.sessions('ended')).filter((id) => !before.has(id)).length, 1);
});

test('the same address works for Playwright', async () => {
  const { title } = await withPlaywright(`${stack.url.replace(/^http/, 'ws')}/?apiKey=any`, data);
  assert.equal(title, 'data page');
  await waitFor(async () => (await stack.sessions('running')).length === 0, { what: 'no session running' });
});

test('no trace of one session in the next', async () => {
  const first = await create();
  const browser = await chromium.connectOverCDP(first.connectUrl);
  const page = browser.contexts()[0].pages()[0] ?? (await browser.contexts()[0].newPage());
  await page.goto(`${site.url}/cookie`);
  await page.evaluate(() => localStorage.setItem('secret', 'mine'));
  await browser.close();
  await release(first.id);
  for (let i = 0; i < 5; i++) {
    const next = await create();
    const other = await chromium.connectOverCDP(next.connectUrl);
    const context = other.contexts()[0];
    assert.deepEqual(await context.cookies(), []);
    const fresh = context.pages()[0] ?? (await context.newPage());
    await fresh.goto(`${site.url}/next-${i}`);
    assert.equal(site.hits.find((hit) => hit.url === `/next-${i}`).cookie, undefined);
    assert.equal(await fresh.evaluate(() => localStorage.getItem('secret')), null);
    await other.close();
    await release(next.id);
  }
});

test('names resolve in a berth as they do on its host', async () => {
  const session = await create();
  const browser = await chromium.connectOverCDP(session.connectUrl);
  const page = await browser.contexts()[0].newPage();
  // host.berth.internal is a name; a name that does not exist fails as such and not as a missing resolver.
  await page.goto(`${site.url}/name`);
  await assert.rejects(page.goto('http://no-such-host.invalid/'), /ERR_NAME_NOT_RESOLVED/);
  await browser.close();
  await release(session.id);
});
