// Between a create and Redis: an answer that is lost is asked for again, and makes one session; and whichever way creates leave
// the gate (api/gate.h), the next ones get in. A real Redis, a played worker.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { startStack, waitFor } from './harness.mjs';
import { FakeWorker } from './fake_worker.mjs';
import { RedisProxy } from './redis_proxy.mjs';

const WIDTH = 16; // CREATES_AT_ONCE
const MANY = WIDTH + 8;
const LONG = '120s'; // an outage that lasts so long fails the test
const BARE = 'POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n';

const create = (stack, { body = {}, headers = {}, query = '' } = {}) => stack.request('POST', `/v1/sessions${query}`, body, headers);
const creates = (stack, n, options) => Array.from({ length: n }, () => create(stack, options));
const statuses = (answers) => answers.map((answer) => answer.status).sort();

/** An API whose way to Redis can be cut, and a worker with warm berths. */
async function cuttable(t, { warm = 1, capacity = 4, outage = LONG } = {}) {
  const stack = await startStack(t, { workers: [], apis: 0, env: { BERTH_REDIS_OUTAGE: outage } });
  const proxy = await RedisProxy.start(t, stack);
  await stack.addApi(proxy.api);
  const fake = await FakeWorker.start(t, stack, { capacity });
  for (let i = 0; i < warm; i++) await fake.warm();
  return { stack, fake, proxy };
}

const known = async (stack) => (await stack.redis.keys(stack.key('session:*'))).length;

async function jobs(stack, kind) {
  const entries = await stack.redis.xrange(stack.key('jobs:fake'), '-', '+');
  return entries.filter(([, fields]) => fields[fields.indexOf('kind') + 1] === kind).length;
}

/** What has been sent before has been read when others, one after the other, have been answered. */
async function hasRead(stack) {
  for (let i = 0; i < 5; i++) await stack.request('GET', '/healthz');
}

const again = (stack) => stack.apis[0].log.filter((line) => line.includes('admit_again')).length;

async function gauges(stack) {
  const { text } = await stack.request('GET', '/metrics');
  return ['with_redis', 'in_line'].map((name) => Number(new RegExp(`^berth_creates_${name} (\\d+)$`, 'm').exec(text)[1]));
}

/** Nobody is in the gate or before it. */
const empty = (stack, what) =>
  waitFor(async () => (await gauges(stack)).every((n) => n === 0), { what: `an empty gate after ${what}` });

/** n clients that have sent a create and can hang up. */
async function clients(stack, n) {
  const sockets = Array.from({ length: n }, () => net.connect(stack.apis[0].port, '127.0.0.1'));
  for (const socket of sockets) socket.on('error', () => {});
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  for (const socket of sockets) socket.write(BARE);
  await hasRead(stack);
  return sockets;
}

// ---- an answer that is lost ----------------------------------------------------------------------------------------------

test('carried out, and the answer lost: the client gets that session', { timeout: 300000 }, async (t) => {
  const { stack, proxy } = await cuttable(t, { warm: 2 });
  const headers = { 'idempotency-key': 'k' };
  proxy.lose('_admit');
  const first = await create(stack, { headers });
  assert.equal(first.status, 201, first.text);
  assert.deepEqual([proxy.lost, again(stack)], [1, 1], 'its answer was lost');
  assert.equal(first.headers.get('idempotent-replayed'), null, 'it is nobody else\'s');
  assert.deepEqual([await known(stack), await jobs(stack, 'claim')], [1, 1], 'one session, one berth');
  const repeated = await create(stack, { headers });
  assert.deepEqual([repeated.status, repeated.body.id, repeated.headers.get('idempotent-replayed')], [201, first.body.id, 'true']);
  // As much for one that waits.
  for (let i = 0; i < 3; i++) assert.equal((await create(stack, { query: '?wait=0' })).status, i < 1 ? 201 : 202);
  proxy.lose('_admit');
  const queued = await create(stack, { query: '?wait=0' });
  assert.equal(queued.status, 202, queued.text);
  assert.deepEqual([proxy.lost, again(stack), await known(stack)], [2, 2, 5]);
  assert.equal((await stack.session(queued.body.id)).state, 'queued');
  await empty(stack, 'lost answers');
});

test('never carried out: it is when Redis is back', { timeout: 300000 }, async (t) => {
  const stack = await startStack(t, { workers: [], redis: { aof: true }, env: { BERTH_REDIS_OUTAGE: LONG } });
  const fake = await FakeWorker.start(t, stack, { capacity: MANY });
  for (let i = 0; i < MANY; i++) await fake.warm();
  stack.redisServer.signal('SIGSTOP');
  const pending = creates(stack, MANY);
  await hasRead(stack);
  await stack.redisServer.kill();
  await stack.redisServer.start();
  const answers = await Promise.all(pending);
  // Those that the API read when it had noticed already were refused at once; none of the others was.
  assert.ok(again(stack) >= 1, 'some were with Redis');
  for (const { status, text, body } of answers) assert.ok(status === 201 || (status === 503 && body.error.code === 'redis_unavailable'), text);
  const served = answers.filter(({ status }) => status === 201).map(({ body }) => body.id);
  assert.ok(served.length >= again(stack), `${served.length} served`);
  assert.equal(new Set(served).size, served.length);
  assert.equal(await known(stack), served.length);
  await empty(stack, 'a restart of Redis');
});

test('carried out twice: Redis hangs until it is taken for lost, then does what was sent on both connections', { timeout: 300000 }, async (t) => {
  const stack = await startStack(t, { workers: [], env: { BERTH_REDIS_OUTAGE: LONG } });
  const fake = await FakeWorker.start(t, stack, { capacity: MANY });
  for (let i = 0; i < MANY; i++) await fake.warm();
  stack.redisServer.signal('SIGSTOP');
  const pending = creates(stack, MANY);
  await waitFor(() => again(stack) === WIDTH, { what: 'the API to take Redis for lost' });
  stack.redisServer.signal('SIGCONT');
  const answers = await Promise.all(pending);
  for (const { status, text } of answers) assert.equal(status, 201, text);
  assert.equal(new Set(answers.map(({ body }) => body.id)).size, MANY);
  assert.deepEqual([await known(stack), await jobs(stack, 'claim')], [MANY, MANY]);
  await empty(stack, 'a Redis that hung');
});

test('lost for too long: 503 for all, and what had been carried out is cancelled', { timeout: 300000 }, async (t) => {
  const { stack, fake, proxy } = await cuttable(t, { capacity: 1, outage: '1s' });
  proxy.lose('_admit', { stayDown: true });
  const answers = await Promise.all(creates(stack, MANY));
  for (const { status, body, headers, text } of answers) {
    assert.deepEqual([status, body.error?.code, headers.get('retry-after')], [503, 'redis_unavailable', '1'], text);
  }
  await stack.apis[0].logged(/creates_refused/);
  await empty(stack, 'a Redis that stays away');
  const late = await create(stack);
  assert.deepEqual([late.status, late.body.error.code], [503, 'redis_unavailable']);
  const admitted = await known(stack);
  assert.ok(admitted >= 1);
  proxy.down = false;
  const over = async () => (await Promise.all(['ending', 'ended'].map((state) => stack.sessions(state)))).flat().length;
  await waitFor(async () => (await over()) === admitted, { what: 'every session to be cancelled' });
  await fake.stopped();
  await fake.warm();
  assert.equal((await create(stack)).status, 201);
});

test('a client that hangs up while Redis is lost leaves no session', { timeout: 300000 }, async (t) => {
  const { stack, fake, proxy } = await cuttable(t);
  proxy.lose('_admit', { stayDown: true });
  const [socket] = await clients(stack, 1);
  await stack.apis[0].logged(/admit_again/);
  socket.destroy();
  await stack.apis[0].logged(/session_cancelled/);
  proxy.down = false;
  await fake.stopped();
  const [id] = await stack.sessions('ended');
  assert.equal((await stack.session(id)).reason, 'cancelled');
  assert.equal(await known(stack), 1);
  await empty(stack, 'a client that left');
});

// ---- the gate ------------------------------------------------------------------------------------------------------------

test('creates leave the gate on every way out', { timeout: 300000 }, async (t) => {
  const stack = await startStack(t, { workers: [], env: { BERTH_PROJECT_CONCURRENCY: WIDTH } });
  const fake = await FakeWorker.start(t, stack, { capacity: MANY });
  const all = async (what, expected, options) => {
    const answers = await Promise.all(creates(stack, MANY, options));
    assert.deepEqual(statuses(answers), expected, what);
    await empty(stack, what);
  };
  const same = (status, n = MANY) => Array(n).fill(status);

  await all('unknown profiles', same(503), { body: { runtimeProfile: 'nobody' } });
  await stack.redis.set(stack.key('project:odd'), 'not a hash');
  await all('errors of a script', same(500), { body: { projectId: 'odd' } });
  await stack.redis.del(stack.key('project:odd'));

  // More than may be with Redis at a time hang up, some there and some in line.
  stack.redisServer.signal('SIGSTOP');
  for (const socket of await clients(stack, MANY)) socket.destroy();
  await waitFor(() => stack.apis[0].log.filter((line) => line.includes('session_abandoned')).length === MANY, { what: 'all to be given up' });
  stack.redisServer.signal('SIGCONT');
  await empty(stack, 'clients that left');
  assert.equal(await known(stack), WIDTH, 'those in line had never asked');
  for (let i = 0; i < WIDTH; i++) await fake.stopped();

  for (let i = 0; i < MANY; i++) await fake.warm();
  await all('the limit', [...same(201, WIDTH), ...same(429, MANY - WIDTH)]);
  await create(stack, { body: { projectId: 'other' }, headers: { 'idempotency-key': 'k' } });
  await all('another body for a key', same(409), { body: { projectId: 'other', timeoutSec: 7 }, headers: { 'idempotency-key': 'k' } });
});
