// A berth's network while a session has it and after: rates, the limit on connections, and that nothing of a session is left
// in the berth or on the host. What a berth may reach is attack.test.mjs's; test/unit/net_pool.c has every kind of leftover.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import { startStack, fileScope, waitFor } from './harness.mjs';
import { Cdp } from './cdp.mjs';

const skip = process.env.BERTH_E2E_SKIP ?? (process.getuid() !== 0 && 'needs root: berths have no networks of their own otherwise');
const driver = process.env.BERTH_E2E_DRIVER ?? 'process';
const CONNECTIONS = 16;
const MBPS = 2;
const DOWN = 1_500_000; // bytes
const UP = 750_000;
const BUDGET = { timeout: 90000 }; // of each wait
const scope = fileScope();
const sockets = new Set(); // that the server has
let stack, worker, port;

before(async () => {
  if (skip) return;
  const blob = Buffer.alloc(DOWN, 'berth');
  const server = http.createServer((request, response) => {
    request.resume();
    if (request.url === '/endless') response.write('begun');
    else if (request.method === 'POST') request.on('end', () => response.end('taken'));
    else response.setHeader('content-type', 'text/html').end(request.url === '/blob' ? blob : '<title>network</title>');
  });
  new WebSocketServer({ server });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = server.address().port;
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const file = join(tmpdir(), `berth-network-${process.pid}.json`);
  scope.after(() => rmSync(file, { force: true }));
  const profile = { driver, warm: 0, shmMb: 64, tmpMb: 128, egressAllow: ['host'] };
  const slow = { ...profile, name: 'slow', downloadMbps: MBPS, uploadMbps: MBPS };
  writeFileSync(file, JSON.stringify({ profiles: [{ ...profile, name: 'default' }, slow] }));
  const env = { BERTH_DRIVER: driver, BERTH_BERTHS: 1, BERTH_WARM: 0, BERTH_PROFILES: file, BERTH_NET_CONNECTIONS: CONNECTIONS, BERTH_LOG_LEVEL: 'debug' };
  stack = await startStack(scope, { workers: [{ env }] });
  worker = stack.workers[0];
});

/** A session with a page of the server's open in it: { evaluate, end }. There is one berth: all have the same. */
async function open(runtimeProfile = 'default') {
  const body = { runtimeProfile, keepAlive: true, idleTimeoutSec: 0 };
  const { status, body: session, text } = await stack.request('POST', '/v1/sessions', body);
  assert.equal(status, 201, text);
  const cdp = await Cdp.open(session.connectUrl);
  const { targetId } = await cdp.send('Target.createTarget', { url: `http://host.berth.internal:${port}/` });
  const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
  const evaluate = async (expression) => {
    const { result, exceptionDetails: e } = await cdp.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
    if (e) throw new Error(e.exception?.description ?? e.text);
    return result.value;
  };
  const there = () => evaluate('document.readyState === "complete" && document.title').catch(() => '');
  await waitFor(async () => (await there()) === 'network', { ...BUDGET, what: 'the page' });
  return {
    evaluate,
    async end() {
      assert.equal((await stack.request('DELETE', `/v1/sessions/${session.id}`)).status, 204);
      const clean = async () => (await stack.session(session.id)).state === 'ended' && Number((await worker.record()).cleaning) === 0;
      await waitFor(clean, { ...BUDGET, what: `the end of ${session.id}` });
    },
  };
}

const seconds = (request) => `(async () => {
  const begun = performance.now();
  const response = await ${request};
  await response.arrayBuffer();
  return (performance.now() - begun) / 1000;
})()`;
const download = seconds(`fetch('/blob', { cache: 'no-store' })`);
const upload = seconds(`fetch('/', { method: 'POST', body: new Uint8Array(${UP}) })`);

test("a profile's rates hold, and go with the session", { skip, timeout: 300000 }, async (t) => {
  const slow = await open('slow');
  const [down, up] = [await slow.evaluate(download), await slow.evaluate(upload)];
  t.diagnostic(`${MBPS} Mbit/s: down ${down.toFixed(2)} s, up ${up.toFixed(2)} s`);
  assert.ok(down >= (DOWN * 8) / (MBPS * 1e6) / 2, `${DOWN} bytes down in ${down} s`);
  assert.ok(up >= (UP * 8) / (MBPS * 1e6) / 2, `${UP} bytes up in ${up} s`);
  await slow.end();
  // The same berth, without limits. The best of some: this machine may be busy with other things.
  const fast = await open();
  const best = async (what, limit) => {
    let least = Infinity;
    for (let i = 0; i < 20 && least > limit; i++) least = Math.min(least, await fast.evaluate(what));
    return least;
  };
  const [freeDown, freeUp] = [await best(download, down / 3), await best(upload, up / 3)];
  t.diagnostic(`no limit: down ${freeDown.toFixed(3)} s, up ${freeUp.toFixed(3)} s`);
  assert.ok(freeDown <= down / 3, `without a limit: ${freeDown} s`);
  assert.ok(freeUp <= up / 3, `without a limit: ${freeUp} s`);
  await fast.end();
});

test('a berth has so many connections and no more, and the next session as many', { skip, timeout: 300000 }, async () => {
  for (let round = 0; round < 2; round++) {
    const session = await open();
    const [opened, refused] = await session.evaluate(`(async () => {
      const url = location.href.replace('http', 'ws');
      const all = Array.from({ length: ${CONNECTIONS + 10} }, () => new Promise((done) => {
        const socket = new WebSocket(url);
        socket.onopen = () => done(true);
        socket.onerror = () => done(false);
        (window.kept ??= []).push(socket);
      }));
      const open = (await Promise.all(all)).filter(Boolean).length;
      return [open, all.length - open];
    })()`);
    assert.ok(opened <= CONNECTIONS, `${opened} were open at once`);
    assert.ok(opened >= CONNECTIONS / 2, `only ${opened} were open, ${refused} refused`);
    await session.end();
  }
});

test('nothing of a session is left in its berth or on the host', { skip, timeout: 300000 }, async () => {
  const [a, b, c] = worker.slot.net.split('/')[0].split('.');
  const self = `${a}.${b}.${c}.2`;
  const tracking = '/proc/net/nf_conntrack'; // some kernels do not show it
  const tracked = () => readFileSync(tracking, 'utf8').split('\n').filter((line) => line.includes(`src=${self} `));
  const inside = (...command) => execFileSync('ip', ['netns', 'exec', `berth-${worker.id}-0`, ...command], { encoding: 'utf8' });
  const connections = () => inside('cat', '/proc/net/tcp').split('\n').filter((line) => /^\s*\d+: .* (?!0A)[0-9A-F]{2} /.test(line.slice(0, 40)));

  const session = await open();
  assert.equal(await session.evaluate(`fetch('/endless').then((response) => (window.kept = response, response.status))`), 200);
  if (driver === 'process') assert.ok(connections().length > 0, 'the session has connections');
  if (existsSync(tracking)) assert.ok(tracked().length > 0, 'the host tracks them');
  assert.ok(sockets.size > 0);
  await session.end();
  assert.deepEqual(connections(), []);
  if (existsSync(tracking)) assert.deepEqual(tracked(), []);
  await waitFor(() => sockets.size === 0, { ...BUDGET, what: "the server's ends of the connections to be closed" });
  assert.doesNotMatch(inside('ip', 'neigh'), /lladdr/);
  assert.doesNotMatch(worker.program.lines.join('\n'), /network_changed_inside|network_not_wiped/);
});
