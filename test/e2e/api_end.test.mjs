// The API without its Redis, at its own end, and as one of several.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { startStack, waitFor } from './harness.mjs';
import { FakeWorker } from './fake_worker.mjs';
import { UNKNOWN, fleet, create, statusOf } from './api_fleet.mjs';

test('a lost Redis is 503 at once, and all is well when it is back', async (t) => {
  const { stack } = await fleet(t, { worker: false });
  await stack.redisServer.kill();
  await waitFor(async () => (await stack.request('GET', '/readyz')).status === 503);
  for (const [method, path] of [['POST', '/v1/sessions'], ['GET', '/v1/sessions'], ['GET', `/v1/sessions/${UNKNOWN}`], ['GET', '/v1/stats'], ['GET', '/v1/health']]) {
    const reply = await stack.request(method, path);
    assert.equal(reply.status, 503, path);
    assert.equal(reply.body.error.code, 'redis_unavailable');
    assert.equal(reply.headers.get('retry-after'), '1');
  }
  assert.equal((await stack.request('GET', '/healthz')).status, 200);
  assert.match((await stack.request('GET', '/metrics')).text, /berth_redis_up 0/);
  await stack.redisServer.start();
  await stack.apis[0].ready();
  assert.equal((await create(stack)).body.error.code, 'no_worker');
});

test('a create that waits outlives a short outage of Redis, and is answered in a long one', async (t) => {
  const stack = await startStack(t, { workers: [], redis: { aof: true } });
  const fake = await FakeWorker.start(t, stack, { capacity: 1 });
  const pending = create(stack);
  const job = await fake.job('start');
  await stack.redisServer.kill();
  await stack.redisServer.start();
  await fake.ready(job);
  const reply = await pending;
  assert.equal(reply.status, 201, reply.text);
  const waiting = create(stack);
  await waitFor(async () => (await stack.sessions('queued')).length === 1);
  const [id] = await stack.sessions('queued');
  await stack.redisServer.kill();
  const lost = await waiting;
  assert.deepEqual([lost.status, lost.body.error.code], [503, 'redis_unavailable']);
  await stack.redisServer.start();
  // Its session is cancelled as soon as Redis can be told.
  await waitFor(async () => (await stack.session(id)).reason === 'cancelled');
});

test('SIGTERM: serves what waits as long as it may, then answers the rest, and exits 0', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_API_DRAIN: '6s' } });
  const served = create(stack);
  const job = await fake.job('start');
  const left = create(stack);
  await waitFor(async () => (await stack.sessions('queued')).length === 1);
  const [id] = await stack.sessions('queued');
  const poll = stack.request('GET', `/v1/sessions/${id}?wait=60`);
  await waitFor(async () => /berth_long_polls 1/.test((await stack.request('GET', '/metrics')).text));
  const api = stack.apis[0];
  api.signal('SIGTERM');
  assert.equal((await poll).body.state, 'queued');
  await fake.ready(job);
  assert.equal((await served).status, 201);
  const last = await left;
  assert.deepEqual([last.status, last.body.error.code], [503, 'shutting_down']);
  assert.equal(last.headers.get('connection'), 'close');
  await api.program.ended;
  assert.equal(api.program.exited.code, 0);
  assert.equal((await stack.session(id)).reason, 'cancelled');
});

test('SIGTERM answers creates in line when its time is over, and leaves no session of theirs', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_API_DRAIN: '500ms' } });
  await fake.warm();
  const held = (await create(stack)).body; // so the rest can only queue
  const [api] = stack.apis;
  stack.redisServer.signal('SIGSTOP');
  // More than may be with Redis at a time (CREATES_AT_ONCE): some wait for its answer, the others in line.
  const text = 'POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n';
  const clients = Array.from({ length: 24 }, () => net.connect(api.port, '127.0.0.1'));
  await Promise.all(clients.map((socket) => once(socket, 'connect')));
  const answers = clients.map(async (socket) => {
    let got = '';
    socket.setEncoding('latin1');
    socket.on('data', (part) => (got += part));
    socket.on('error', (error) => (got += error.message));
    socket.write(text);
    await once(socket, 'close');
    return got;
  });
  // They came first, so they have been read when others, one after the other, have been answered.
  for (let i = 0; i < 5; i++) await stack.request('GET', '/healthz');
  api.signal('SIGTERM');
  await api.logged(/drain_last_call/);
  stack.redisServer.signal('SIGCONT');
  for (const got of await Promise.all(answers)) {
    assert.equal(statusOf(got), 503, got);
    assert.match(got, /"code":"(shutting_down|redis_unavailable)"/);
  }
  await api.program.ended;
  assert.equal(api.program.exited.code, 0);
  const keys = await stack.redis.keys(stack.key('session:*'));
  assert.ok(keys.length > 1 && keys.length <= 1 + 16, `${keys.length} sessions`);
  for (const key of keys.filter((name) => !name.endsWith(held.id))) {
    await waitFor(async () => (await stack.redis.hget(key, 'reason')) === 'cancelled', { what: `${key} to be cancelled` });
  }
});

test('several processes behind one port; any of them answers for any session', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 8 } });
  const second = await stack.addApi({ BERTH_LISTEN: `127.0.0.1:${stack.apis[0].port}` });
  assert.equal(second.port, stack.apis[0].port);
  await waitFor(() => second.program.lines.some((line) => / redis_up connection=api /.test(line)), { what: 'the second API to reach Redis' });
  await fake.warm();
  const { body: s } = await create(stack);
  for (let i = 0; i < 20; i++) {
    const reply = await stack.request('GET', `/v1/sessions/${s.id}`, undefined, { connection: 'close' });
    assert.equal(reply.body.id, s.id);
  }
  await second.term();
  for (let i = 0; i < 20; i++) assert.equal((await stack.request('GET', '/healthz', undefined, { connection: 'close' })).status, 200);
});
