// Something dies, or is told to go, while sessions run, start and wait. Afterwards: every acknowledged session has come to one
// true end, capacity is exact, waiting clients got an answer, audit finds nothing, the host is clean (the harness sees to that).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startStack, waitFor } from './harness.mjs';
import { Crowd, allAtRest, reasons } from './crowd.mjs';
import { Cdp } from './cdp.mjs';

// Simulated browsers; short leases and connect times, so that ends come soon.
const sim = {
  BERTH_DRIVER: 'sim',
  BERTH_BERTHS: 6,
  BERTH_WARM: 3,
  BERTH_SIM_START: '60ms',
  BERTH_LEASE: '6s',
  BERTH_CONNECT_TIMEOUT: '5s',
  BERTH_QUEUE_WAIT: '60s',
};

const pending = (stack, n, body = {}, url = stack.url) =>
  Array.from({ length: n }, () =>
    stack.request('POST', '/v1/sessions', body, {}, { url }).catch((error) => ({ status: 0, error: error.cause?.code ?? error.message })),
  );

const queued = (stack, n) =>
  waitFor(async () => (await stack.sessions('queued')).length >= n, { what: `${n} sessions waiting` });

async function running(stack, n, body = { keepAlive: true }) {
  const answers = await Promise.all(pending(stack, n, body));
  for (const { status, text } of answers) assert.equal(status, 201, text);
  return answers.map((answer) => answer.body);
}

test('kill -9 of an API: its sessions end, the other API serves on', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { apis: 2, env: sim, workers: [{}, {}] });
  const crowd = new Crowd(t, stack, { clients: 30, hold: 150, url: (i) => stack.apis[i % 2].url });
  await crowd.served(40);
  await waitFor(async () => (await stack.sessions('queued')).length > 0, { what: 'waiting sessions', every: 5 });
  await stack.apis[0].kill();
  await crowd.served(20); // through the other one
  await stack.apis[0].restart();
  await stack.apis[0].ready();
  await crowd.served(20);
  await crowd.stop();
  assert.ok(crowd.count((a) => a.error) > 0, 'clients of the killed API saw their connections break');
  assert.equal(crowd.count((a) => a.error === 'TimeoutError'), 0, 'nobody was left without an answer');
  await allAtRest(stack, crowd);
});

test('kill -9 of a worker: its sessions end as worker_lost, those that start or wait are served by others', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { env: sim, workers: [{}, {}] });
  const kept = await running(stack, 6);
  const crowd = new Crowd(t, stack, { clients: 20, hold: 100 });
  await crowd.served(30);
  await stack.workers[0].kill();
  await waitFor(async () => (await stack.redis.zcard(stack.key('workers'))) === 1, { what: 'the lease to end' });
  await crowd.served(30);
  await stack.workers[0].restart();
  await stack.workers[0].ready({ warm: 0 }); // the queue takes every browser before it is warm
  await crowd.served(30);
  await crowd.stop();
  for (const session of kept) {
    const { state, reason, worker } = await stack.session(session.id);
    if (worker === stack.workers[0].id) assert.deepEqual([state, reason], ['ended', 'worker_lost']);
    else assert.equal(state, 'running', `${session.id} ran elsewhere`);
    await stack.request('DELETE', `/v1/sessions/${session.id}`);
  }
  assert.equal(crowd.count((a) => a.error || (a.status >= 500 && a.code !== 'session_lost')), 0, JSON.stringify(crowd.answers.filter((a) => a.error || a.status >= 500)));
  await allAtRest(stack, crowd);
  assert.ok((await reasons(stack)).worker_lost > 0);
});

test('a killed worker that is back before its lease ends starts anew', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { env: { ...sim, BERTH_LEASE: '60s' }, workers: [{}] });
  const kept = await running(stack, 4);
  const waiting = pending(stack, 6);
  await queued(stack, 4);
  await stack.workers[0].kill();
  await stack.workers[0].restart();
  for (const session of kept) {
    await waitFor(async () => (await stack.session(session.id)).state === 'ended', { what: `the end of ${session.id}` });
    assert.equal((await stack.session(session.id)).reason, 'worker_lost');
  }
  for (const { status, text } of await Promise.all(waiting)) assert.equal(status, 201, text);
  await allAtRest(stack);
});

test('a worker that was frozen for longer than its lease changes nothing when it comes back', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { env: sim, workers: [{}, {}] });
  const crowd = new Crowd(t, stack, { clients: 16, hold: 100 });
  await crowd.served(20);
  process.kill(stack.workers[0].pid, 'SIGSTOP');
  await waitFor(async () => (await stack.redis.zcard(stack.key('workers'))) === 1, { what: 'the lease to end' });
  await crowd.served(20);
  process.kill(stack.workers[0].pid, 'SIGCONT');
  await stack.workers[0].ready({ warm: 0 });
  await crowd.served(20);
  await crowd.stop();
  await allAtRest(stack, crowd);
});

test('kill -9 of Redis (AOF): nothing acknowledged is lost, all recover by themselves', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { redis: { aof: true }, env: sim, workers: [{}, {}] });
  const kept = await running(stack, 3);
  const crowd = new Crowd(t, stack, { clients: 20, hold: 100 });
  await crowd.served(30);
  await stack.redisServer.kill();
  const away = await waitFor(
    async () => {
      const answer = await stack.request('POST', '/v1/sessions', {});
      return answer.status === 503 && answer;
    },
    { what: '503 while Redis is away' },
  );
  assert.equal(away.body.error.code, 'redis_unavailable');
  assert.ok(away.headers.get('retry-after'), 'it says when to try again');
  assert.equal((await fetch(`${stack.url}/healthz`)).status, 200, 'the API itself lives');
  assert.equal((await fetch(`${stack.url}/readyz`)).status, 503, 'but is not ready');
  await stack.redisServer.start();
  await stack.apis[0].ready();
  await crowd.served(30);
  for (const session of kept) {
    assert.equal((await stack.session(session.id)).state, 'running', 'a running session is not hurt');
    await stack.request('DELETE', `/v1/sessions/${session.id}`);
  }
  await crowd.stop();
  assert.equal(crowd.count((a) => a.error === 'TimeoutError'), 0, 'nobody was left without an answer');
  await allAtRest(stack, crowd);
});

test('Redis is away for longer than the leases: nobody is taken for dead when it is back', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { redis: { aof: true }, env: { ...sim, BERTH_LEASE: '2s' }, workers: [{}] });
  const [session] = await running(stack, 1);
  await stack.redisServer.kill();
  const until = Date.now() + 5000; // the lease is 2 s
  await waitFor(() => Date.now() > until, { what: 'the leases to run out' });
  await stack.redisServer.start();
  await stack.apis[0].ready();
  const { epoch } = session.epoch ? session : await stack.session(session.id);
  await waitFor(async () => Number((await stack.workers[0].record()).seen) > until, { what: 'a heartbeat' });
  assert.equal((await stack.session(session.id)).state, 'running');
  assert.equal((await stack.session(session.id)).epoch, epoch);
  await stack.request('DELETE', `/v1/sessions/${session.id}`);
  await allAtRest(stack);
});

test('Redis comes back empty: all begins anew by itself', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { redis: { aof: true }, env: sim, workers: [{}, {}] });
  await running(stack, 12);
  const waiting = pending(stack, 3);
  await queued(stack, 3);
  await stack.redisServer.forget();
  for (const { status, body, text } of await Promise.all(waiting)) {
    assert.ok([502, 503].includes(status) && ['session_lost', 'redis_unavailable'].includes(body.error.code), text);
  }
  await Promise.all(stack.workers.map((worker) => worker.ready()));
  for (const session of await running(stack, 12)) await stack.request('DELETE', `/v1/sessions/${session.id}`);
  await allAtRest(stack);
});

test('Redis comes back without its last moments: no browser serves twice, no berth is lost', { timeout: 400000 }, async (t) => {
  const env = { ...sim, BERTH_QUEUE_WAIT: '20s' }; // what Redis forgot the end of may wait for so long
  const stack = await startStack(t, { apis: 2, redis: { aof: true }, env, workers: [{}, {}] });
  const crowd = new Crowd(t, stack, { clients: 20, hold: 60, patience: 20000, url: (i) => stack.apis[i % 2].url });
  for (let round = 0; round < 3; round++) {
    await crowd.served(20);
    stack.redisServer.remember();
    await crowd.served(10 + 20 * round);
    await stack.redisServer.forget();
    await crowd.served(20);
  }
  await crowd.stop();
  // No acknowledged here: what was forgotten is forgotten.
  await allAtRest(stack);
  await Promise.all(stack.workers.map((worker) => worker.ready()));
  for (const session of await running(stack, 12)) await stack.request('DELETE', `/v1/sessions/${session.id}`);
  await allAtRest(stack);
});

test('clients that hang up while they wait leave nothing behind', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { env: sim, workers: [{}] });
  const kept = await running(stack, 6);
  const hangUp = new AbortController();
  const gone = Array.from({ length: 5 }, () =>
    stack.request('POST', '/v1/sessions', {}, {}, { signal: hangUp.signal }).catch((error) => error.name),
  );
  await queued(stack, 5);
  hangUp.abort();
  assert.deepEqual(await Promise.all(gone), Array(5).fill('AbortError'));
  await waitFor(async () => (await stack.sessions('queued')).length === 0, { what: 'their places to be given up' });
  assert.equal((await reasons(stack)).cancelled, 5);
  for (const session of kept) await stack.request('DELETE', `/v1/sessions/${session.id}`);
  await allAtRest(stack);
});

test('a create that is repeated with its key outlives the first one\'s hang-up', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { apis: 2, env: sim, workers: [{}] });
  const kept = await running(stack, 6);
  const hangUp = new AbortController();
  const create = (api, signal) =>
    stack.request('POST', '/v1/sessions', { keepAlive: true }, { 'idempotency-key': 'k' }, { url: api.url, signal });
  const first = create(stack.apis[0], hangUp.signal).catch((error) => error.name);
  await queued(stack, 1);
  const [id] = await stack.sessions('queued');
  const second = create(stack.apis[1]);
  await waitFor(async () => (await stack.session(id)).adopted, { what: 'the repeated create' });
  hangUp.abort();
  assert.equal(await first, 'AbortError');
  await stack.apis[0].logged(new RegExp(`session_cancelled session=${id}`));
  for (const session of kept) await stack.request('DELETE', `/v1/sessions/${session.id}`);
  const { status, body, text } = await second;
  assert.deepEqual([status, body?.id], [201, id], text);
  await stack.request('DELETE', `/v1/sessions/${id}`);
  await allAtRest(stack);
});

test('SIGTERM to an API: it answers what waits, then goes', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { apis: 2, env: { ...sim, BERTH_API_DRAIN: '60s' }, workers: [{}] });
  const kept = await running(stack, 6);
  const waiting = pending(stack, 4);
  await queued(stack, 4);
  const end = stack.apis[0].term();
  for (const session of kept) {
    await stack.request('DELETE', `/v1/sessions/${session.id}`, undefined, {}, { url: stack.apis[1].url });
  }
  for (const { status, text } of await Promise.all(waiting)) assert.equal(status, 201, text);
  assert.deepEqual(await end, { code: 0, signal: null, forced: false });
  await assert.rejects(fetch(`${stack.apis[0].url}/healthz`));
  assert.equal((await fetch(`${stack.apis[1].url}/healthz`)).status, 200);
  await allAtRest(stack);
});

test('SIGTERM to a worker: nothing new, what runs may finish, then it leaves', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { env: { ...sim, BERTH_DRAIN_TIMEOUT: '80s' }, workers: [{}, {}] });
  const kept = await running(stack, 6);
  const [first, second] = stack.workers;
  const end = first.term();
  await waitFor(async () => (await first.record())?.state === 'draining', { what: 'draining' });
  const more = await running(stack, 3);
  for (const session of more) assert.equal((await stack.session(session.id)).worker, second.id);
  for (const session of kept) assert.equal((await stack.session(session.id)).state, 'running');
  for (const session of [...kept, ...more]) await stack.request('DELETE', `/v1/sessions/${session.id}`);
  assert.deepEqual(await end, { code: 0, signal: null, forced: false });
  assert.deepEqual(await stack.redis.zrange(stack.key('workers'), 0, -1), [second.id]);
  await allAtRest(stack);
});

test('SIGTERM to a worker whose sessions do not end: they are ended as drained', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { env: { ...sim, BERTH_DRAIN_TIMEOUT: '1s' }, workers: [{}] });
  const kept = await running(stack, 2);
  assert.deepEqual(await stack.workers[0].term(), { code: 0, signal: null, forced: false });
  for (const session of kept) {
    const { state, reason } = await stack.session(session.id);
    assert.deepEqual([state, reason], ['ended', 'drained']);
  }
  assert.deepEqual(await stack.audit(), []);
});

test('drain and undrain through the API', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { env: sim, workers: [{}, {}] });
  const [first, second] = stack.workers;
  assert.ok((await stack.request('POST', `/v1/hosts/${first.id}/drain`)).status < 300);
  for (const session of await running(stack, 4)) {
    assert.equal((await stack.session(session.id)).worker, second.id);
    await stack.request('DELETE', `/v1/sessions/${session.id}`);
  }
  assert.ok((await stack.request('POST', `/v1/hosts/${first.id}/undrain`)).status < 300);
  await first.ready();
  const sessions = await running(stack, 10);
  const used = new Set(await Promise.all(sessions.map(async (session) => (await stack.session(session.id)).worker)));
  assert.equal(used.size, 2);
  for (const session of sessions) await stack.request('DELETE', `/v1/sessions/${session.id}`);
  await allAtRest(stack);
});

test('starts that fail: every client gets a session or is told', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, { env: { ...sim, BERTH_SIM_FAIL: 30, BERTH_WARM: 0 }, workers: [{}, {}] });
  const crowd = new Crowd(t, stack, { clients: 8, hold: 20 });
  await crowd.served(60);
  await crowd.stop();
  const odd = crowd.answers.filter((a) => !a.id && a.code !== 'start_failed');
  assert.deepEqual(odd, []);
  await allAtRest(stack, crowd);
});

test('kill -9 of real browsers and of their worker, with clients connected and waiting', { timeout: 400000 }, async (t) => {
  const stack = await startStack(t, {
    env: { BERTH_LEASE: '6s', BERTH_CONNECT_TIMEOUT: '30s', BERTH_DISCONNECT_GRACE: '1s', BERTH_QUEUE_WAIT: '60s' },
    workers: [{ env: { BERTH_DRIVER: 'process', BERTH_BERTHS: 3, BERTH_WARM: 2 } }],
  });
  const [worker] = stack.workers;
  const sessions = await running(stack, 3);
  const clients = await Promise.all(sessions.map((session) => Cdp.open(session.connectUrl)));
  const [waiter] = pending(stack, 1, { keepAlive: true });
  await queued(stack, 1);

  // One browser dies: its client is told, and its place goes to who waits.
  const victim = await stack.session(sessions[0].id);
  const uid = worker.slot.uidBase + Number(victim.berth);
  const browsers = worker.look().filter((p) => p.uids.includes(uid) && /chrom|headless/.test(p.name));
  assert.ok(browsers.length > 0, 'its processes were found');
  process.kill(browsers[0].pid, 'SIGKILL');
  assert.equal((await clients[0].closed).reason, 'session ended: browser_crashed');
  const served = await waiter;
  assert.equal(served.status, 201, served.text);
  assert.equal((await stack.session(victim.id)).reason, 'browser_crashed');

  // Then the worker: clients are cut off, no browser outlives it, its sessions end, it comes back whole.
  const more = pending(stack, 2, { keepAlive: true });
  await queued(stack, 2);
  await worker.kill();
  for (const cdp of clients.slice(1)) assert.equal((await cdp.closed).code, 1006);
  assert.deepEqual(await worker.left({ things: false }), [], 'its browsers died with it');
  await worker.restart();
  for (const { status, text } of await Promise.all(more)) assert.equal(status, 201, text);
  for (const { id } of [sessions[1], sessions[2], served.body]) {
    await waitFor(async () => (await stack.session(id)).state === 'ended', { what: `the end of ${id}` });
    assert.equal((await stack.session(id)).reason, 'worker_lost');
  }
  for (const { body } of await Promise.all(more)) await stack.request('DELETE', `/v1/sessions/${body.id}`);
  await allAtRest(stack);
});
