// Creates that wait: for a start, for a berth, for so long and no longer; and every way in which a client leaves meanwhile.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { waitFor } from './harness.mjs';
import { ID, fleet, create } from './api_fleet.mjs';

test('a cold start is waited for; a failed one is tried again, three times in all', async (t) => {
  const { stack, fake } = await fleet(t);
  const pending = create(stack);
  await fake.failed(await fake.job('start'));
  const job = await fake.job('start');
  await fake.ready(job);
  const reply = await pending;
  assert.equal(reply.status, 201, reply.text);
  assert.equal(reply.body.launchTimings.totalMs, 120);
  assert.equal(reply.body.controlPlaneTimings.create.warmActual, false);
  assert.match(reply.headers.get('server-timing'), /wait;dur=[1-9]/);
});

test('a start that fails for good is 502 with the reason', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 8 } });
  const pending = create(stack);
  for (let i = 0; i < 3; i++) await fake.failed(await fake.job('start'), 'no such binary');
  const reply = await pending;
  assert.equal(reply.status, 502, reply.text);
  assert.equal(reply.body.error.code, 'start_failed');
  assert.equal(reply.body.error.cause, 'no such binary');
  assert.match(reply.body.error.sessionId, ID);
  const { body } = await stack.request('GET', `/v1/sessions/${reply.body.error.sessionId}`);
  assert.deepEqual([body.status, body.state, body.reason], ['ERROR', 'ended', 'start_failed']);
});

test('wait=0 and Prefer answer 202 with the position; a bounded wait answers 202 when it is over', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 } });
  await fake.warm();
  assert.equal((await create(stack)).status, 201);
  const first = await create(stack, {}, {}, '?wait=0');
  assert.equal(first.status, 202);
  assert.deepEqual([first.body.status, first.body.state, first.body.queuePosition], ['PENDING', 'queued', 1]);
  assert.equal(first.body.connectUrl, undefined);
  assert.equal(first.body.startedAt, null);
  const second = await create(stack, {}, { prefer: 'respond-async' });
  assert.deepEqual([second.status, second.body.queuePosition], [202, 2]);
  const third = await create(stack, {}, {}, '?wait=0.05');
  assert.deepEqual([third.status, third.body.queuePosition], [202, 3]);
  const got = await stack.request('GET', `/v1/sessions/${second.body.id}`);
  assert.equal(got.body.queuePosition, 2);
});

test('a queued create is answered when a berth is free, and 504 when its time is over', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_QUEUE_WAIT: '6s' } });
  await fake.warm();
  const running = (await create(stack)).body;
  const waiting = create(stack);
  await waitFor(async () => (await stack.sessions('queued')).length === 1);
  assert.equal((await stack.request('DELETE', `/v1/sessions/${running.id}`)).status, 204);
  await fake.stopped();
  await fake.ready(await fake.job('start'));
  const served = await waiting;
  assert.equal(served.status, 201, served.text);
  const late = await create(stack);
  assert.equal(late.status, 504, late.text);
  assert.equal(late.body.error.code, 'queue_timeout');
  assert.ok(late.headers.get('retry-after'));
});

test('a client that hangs up while it waits is cancelled at once, on every path', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 } });
  const leave = async (send, state) => {
    const controller = new AbortController();
    const pending = send({ signal: controller.signal }).catch((e) => e.name);
    const [id] = await waitFor(async () => {
      const found = await stack.sessions(state);
      return found.length && found;
    });
    controller.abort();
    assert.equal(await pending, 'AbortError');
    await waitFor(async () => ['ending', 'ended'].includes((await stack.session(id)).state), { what: 'the cancel' });
    assert.equal((await stack.session(id)).reason, 'cancelled');
    return id;
  };
  const post = (query = '', headers = {}) => (options) => stack.request('POST', `/v1/sessions${query}`, {}, headers, options);
  await leave(post(), 'starting');
  await fake.stopped();
  await fake.warm();
  const running = (await create(stack)).body;
  await leave(post(), 'queued');
  await leave(post('?wait=30'), 'queued');
  await leave(post('', { 'idempotency-key': 'k' }), 'queued');
  // The key is free again.
  const again = await create(stack, {}, { 'idempotency-key': 'k' }, '?wait=0');
  assert.equal(again.status, 202);
  await stack.request('DELETE', `/v1/sessions/${running.id}`);
});

test('an admit whose answer comes after the client has gone is cancelled', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  stack.redisServer.signal('SIGSTOP');
  const socket = net.connect(stack.apis[0].port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n');
  // It came first, so it has been read when others, one after the other, have been answered on another connection.
  for (let i = 0; i < 5; i++) await stack.request('GET', '/healthz');
  socket.destroy();
  await stack.apis[0].logged(/session_abandoned/);
  stack.redisServer.signal('SIGCONT');
  await fake.stopped();
  const [id] = await waitFor(async () => {
    const ended = await stack.sessions('ended');
    return ended.length && ended;
  });
  assert.equal((await stack.session(id)).reason, 'cancelled');
});

test('Idempotency-Key: the same body gives the same session, another one 409', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  const headers = { 'idempotency-key': 'order 7' };
  const first = await create(stack, { region: 'x' }, headers);
  assert.equal(first.status, 201);
  assert.equal(first.headers.get('idempotent-replayed'), null);
  const second = await create(stack, { region: 'x' }, headers);
  assert.deepEqual([second.status, second.body.id, second.body.connectUrl], [201, first.body.id, first.body.connectUrl]);
  assert.equal(second.headers.get('idempotent-replayed'), 'true');
  const other = await create(stack, { region: 'y' }, headers);
  assert.deepEqual([other.status, other.body.error.code], [409, 'idempotency_mismatch']);
  await stack.request('DELETE', `/v1/sessions/${first.body.id}`);
  await fake.stopped();
  const ended = await create(stack, { region: 'x' }, headers);
  assert.deepEqual([ended.status, ended.body.id, ended.body.status], [200, first.body.id, 'COMPLETED']);
  assert.equal((await create(stack, {}, { 'idempotency-key': 'x'.repeat(256) })).status, 400);

  // Two that wait for one session; one of them leaving does not take it from the other.
  const controller = new AbortController();
  const send = (signal) => stack.request('POST', '/v1/sessions', {}, { 'idempotency-key': 'both' }, { signal });
  const one = send(controller.signal).catch(() => {});
  const job = await fake.job('start');
  const two = send();
  await waitFor(async () => /berth_waiting_creates 2/.test((await stack.request('GET', '/metrics')).text));
  controller.abort();
  await one;
  await waitFor(async () => /berth_waiting_creates 1/.test((await stack.request('GET', '/metrics')).text));
  await fake.ready(job);
  assert.equal((await two).body.id, job.session);
});

test('limits: 429 with Retry-After and the numbers, 503 without a worker for the profile', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_PROJECT_QUEUE: 1, BERTH_QUEUE: 2 } });
  await fake.warm();
  assert.equal((await create(stack)).status, 201);
  const none = await create(stack, { runtimeProfile: 'gpu' });
  assert.deepEqual([none.status, none.body.error.code, none.body.error.profile], [503, 'no_worker', 'gpu']);
  assert.ok(none.headers.get('retry-after'));
  const wait = (project) => create(stack, { projectId: project }, {}, '?wait=0');
  assert.equal((await wait('a')).status, 202);
  const own = await wait('a');
  assert.equal(own.status, 429);
  assert.deepEqual([own.body.error.code, own.body.error.limit, own.body.error.used], ['project_queue_full', 1, 1]);
  assert.equal((await wait('b')).status, 202);
  const all = await wait('c');
  assert.deepEqual([all.body.error.code, all.body.error.limit, all.body.error.used], ['queue_full', 2, 2]);
  await stack.script('limits', 'b', 1, '');
  const many = await wait('b');
  assert.equal(many.status, 429);
  assert.deepEqual([many.body.error.code, many.body.error.limit, many.body.error.used], ['concurrency_limit', 1, 1]);
  assert.ok(many.headers.get('retry-after'));
});
