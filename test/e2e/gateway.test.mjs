// What a client sees on its CDP WebSocket when its session ends, whatever the reason; and when a session ends because its
// clients have gone.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import { startStack, fileScope, waitFor } from './harness.mjs';
import { descendants } from './host.mjs';
import { Cdp } from './cdp.mjs';

const scope = fileScope();
let stack;

before(async () => {
  stack = await startStack(scope, {
    workers: [
      {
        env: {
          BERTH_DRIVER: 'process',
          BERTH_BERTHS: 4,
          BERTH_WARM: 2,
          BERTH_CONNECT_TIMEOUT: '12s',
          BERTH_DISCONNECT_GRACE: '4s',
        },
      },
    ],
  });
});

async function create(body = {}) {
  const { status, body: session, text } = await stack.request('POST', '/v1/sessions', body);
  assert.equal(status, 201, text);
  return session;
}

const release = (id) => stack.request('DELETE', `/v1/sessions/${id}`);

async function ended(id, reason) {
  const session = await waitFor(
    async () => {
      const s = await stack.session(id);
      return s.state === 'ended' && s;
    },
    { what: `the end of ${id}` },
  );
  assert.equal(session.reason, reason);
}

/** The browser's own process in the berth of a session, by the user id that this berth's browser runs as. */
function browserOf(session) {
  const worker = stack.workers[0];
  const uid = worker.slot.uidBase + Number(session.berth);
  const all = descendants(worker.pid);
  const mine = all.filter((p) => p.uids.includes(uid) && /chrom|headless/.test(p.name));
  return mine.find((p) => !mine.some((parent) => parent.pid === p.ppid));
}

test('released: 1000', async () => {
  const session = await create();
  const cdp = await Cdp.open(session.connectUrl);
  assert.match((await cdp.send('Browser.getVersion')).product, /Chrom/);
  await release(session.id);
  assert.deepEqual(await cdp.closed, { code: 1000, reason: 'session ended: released' });
  await ended(session.id, 'released');
});

test('timeout: 4001', async () => {
  const session = await create({ timeout: 8 });
  const cdp = await Cdp.open(session.connectUrl);
  assert.deepEqual(await cdp.closed, { code: 4001, reason: 'session ended: timeout' });
  await ended(session.id, 'timeout');
});

test('idle: 4002; a client that speaks is not idle', async () => {
  const session = await create({ idleTimeoutSec: 6 });
  const cdp = await Cdp.open(session.connectUrl);
  const until = Date.now() + 8000;
  let spoke = 0;
  await waitFor(
    async () => {
      await cdp.send('Browser.getVersion');
      spoke = Date.now();
      return spoke > until;
    },
    { every: 200, what: 'the client to have spoken for longer than the idle time' },
  );
  assert.deepEqual(await cdp.closed, { code: 4002, reason: 'session ended: idle' });
  assert.ok(Date.now() - spoke > 900, 'it had its idle time');
  await ended(session.id, 'idle');
});

test('browser_crashed: 4004', async () => {
  const session = await create({ keepAlive: true });
  const cdp = await Cdp.open(session.connectUrl);
  const browser = browserOf(await stack.session(session.id));
  assert.ok(browser, 'the browser was found');
  process.kill(browser.pid, 'SIGKILL');
  assert.deepEqual(await cdp.closed, { code: 4004, reason: 'session ended: browser_crashed' });
  await ended(session.id, 'browser_crashed');
});

test('a browser that closes itself ends its session', async () => {
  const session = await create({ keepAlive: true });
  const cdp = await Cdp.open(session.connectUrl);
  cdp.send('Browser.close').catch(() => {});
  const { code } = await cdp.closed;
  assert.ok([1000, 4004].includes(code), String(code));
  await waitFor(async () => (await stack.session(session.id)).state === 'ended', { what: 'the end' });
});

test('the last client leaves: the session ends after the grace, not before', async () => {
  const session = await create();
  const first = await Cdp.open(session.connectUrl);
  const second = await Cdp.open(session.connectUrl);
  await first.close();
  await second.send('Browser.getVersion');
  await second.close();
  // Within the grace somebody comes back: the session lives on.
  const third = await Cdp.open(session.connectUrl);
  const { targetInfos } = await third.send('Target.getTargets');
  assert.ok(Array.isArray(targetInfos));
  assert.equal((await stack.session(session.id)).state, 'running');
  await third.close();
  await ended(session.id, 'disconnected');
  await assert.rejects(Cdp.open(session.connectUrl), (error) => error.status >= 400, 'its address is dead');
});

test('a client that is cut off counts as gone', async () => {
  const session = await create();
  const cdp = await Cdp.open(session.connectUrl);
  await cdp.send('Browser.getVersion');
  cdp.drop();
  await ended(session.id, 'disconnected');
});

test('nobody ever connects: the session ends', async () => {
  const session = await create();
  await ended(session.id, 'disconnected');
});

test('keepAlive: clients come and go, what they did stays', async () => {
  const session = await create({ keepAlive: true });
  const first = await Cdp.open(session.connectUrl);
  const { targetId } = await first.send('Target.createTarget', { url: 'data:text/html,<title>kept</title>' });
  await first.close();
  await waitFor(async () => stack.workers[0].log.some((line) => line.includes(session.id) && /\bn=0\b/.test(line)), {
    what: 'the worker to see the client go',
  });
  const later = Date.now() + 5000; // longer than the grace
  await waitFor(() => Date.now() > later, { what: 'the grace to pass' });
  const second = await Cdp.open(session.connectUrl);
  const { targetInfos } = await second.send('Target.getTargets');
  assert.ok(targetInfos.some((target) => target.targetId === targetId && target.title === 'kept'), JSON.stringify(targetInfos));
  await release(session.id);
  assert.equal((await second.closed).code, 1000);
});

test('a wrong secret opens nothing', async () => {
  const session = await create({ keepAlive: true });
  const { connectUrl } = session;
  const last = connectUrl.at(-1);
  const wrong = [
    connectUrl.slice(0, -1) + (last === '0' ? '1' : '0'),
    connectUrl.slice(0, -1),
    `${connectUrl}0`,
    connectUrl.replace(/\/s\/.*/, '/s/'),
    connectUrl.replace(/\/s\/.*/, '/s/0-'),
    connectUrl.replace(/\/s\/\d+-/, '/s/99-'),
    connectUrl.replace(/\/s\/.*/, '/devtools/browser/x'),
  ];
  for (const url of wrong) await assert.rejects(Cdp.open(url), (error) => error.status >= 400 && error.status < 500, url);
  const cdp = await Cdp.open(connectUrl);
  await cdp.send('Browser.getVersion');
  await release(session.id);
  await cdp.closed;
});

test('/json is Chromium’s own, with our addresses', async () => {
  const session = await create({ keepAlive: true });
  const base = session.connectUrl.replace(/^ws/, 'http');
  const version = await (await fetch(`${base}/json/version`)).json();
  assert.match(version.Browser, /Chrom/);
  assert.ok(version.webSocketDebuggerUrl.startsWith(session.connectUrl));
  const made = await (await fetch(`${base}/json/new?about:blank`, { method: 'PUT' })).json();
  const list = await (await fetch(`${base}/json/list`)).json();
  const page = list.find((target) => target.id === made.id);
  assert.ok(page.webSocketDebuggerUrl.startsWith(session.connectUrl), page.webSocketDebuggerUrl);
  const cdp = await Cdp.open(page.webSocketDebuggerUrl);
  const { result } = await cdp.send('Runtime.evaluate', { expression: '1 + 1' });
  assert.equal(result.value, 2);
  assert.equal((await fetch(`${base}/json/close/${made.id}`)).status, 200);
  await cdp.closed;
  assert.ok(!JSON.stringify(list).includes('9222'), 'no address of the browser itself');
  await release(session.id);
});

test('big messages pass both ways', async () => {
  const session = await create({ keepAlive: true });
  const cdp = await Cdp.open(session.connectUrl, { maxPayload: 1 << 28 });
  const { targetId } = await cdp.send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
  const text = 'x'.repeat(5_000_000);
  const { result } = await cdp.send('Runtime.evaluate', { expression: `'${text}'.length`, returnByValue: true }, sessionId);
  assert.equal(result.value, text.length);
  const back = await cdp.send('Runtime.evaluate', { expression: `'y'.repeat(20_000_000)`, returnByValue: true }, sessionId);
  assert.equal(back.result.value.length, 20_000_000);
  await release(session.id);
  await cdp.closed;
});
