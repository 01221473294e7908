// The end of a worker: drain by an operator, SIGTERM at every moment.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { start, admit, release, state, settled } from './worker_alone.mjs';

test('an operator drains: warm berths go, running sessions stay; undrain fills again', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 4, BERTH_WARM: 2 });
  const { id } = stack.workers[0];
  const session = await admit(stack);
  await settled(stack, { taken: 1, warm: 2 });
  assert.equal((await stack.script('drain', id, 'drain', '', 'spread'))[0], 'ok');
  await settled(stack, { taken: 1, warm: 0, cleaning: 0, starting: 0, free: 3 });
  assert.equal((await stack.session(session.id)).state, 'running');
  assert.equal((await stack.script('drain', id, 'undrain', '', 'spread'))[0], 'ok');
  await settled(stack, { taken: 1, warm: 2, free: 1 });
  await release(stack, session.id);
});

test('SIGTERM with nothing running: gone at once, and Redis has forgotten the worker', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 4, BERTH_WARM: 3 });
  const [worker] = stack.workers;
  const begun = Date.now();
  const { code } = await worker.term();
  assert.equal(code, 0);
  t.diagnostic(`ended in ${Date.now() - begun} ms`);
  assert.equal(await stack.redis.exists(stack.key(`worker:${worker.id}`), stack.key(`jobs:${worker.id}`), stack.key(`berths:${worker.id}`)), 0);
});

test('SIGTERM waits for running sessions', async (t) => {
  const stack = await start(t, { BERTH_DRAIN_TIMEOUT: '60s' });
  const [worker] = stack.workers;
  const session = await admit(stack);
  worker.signal('SIGTERM');
  await settled(stack, { warm: 0, taken: 1 });
  await worker.logged(/shutdown .*to=waiting/);
  assert.ok(worker.running);
  await release(stack, session.id);
  assert.equal((await worker.program.ended).code, 0);
  assert.equal((await stack.session(session.id)).reason, 'released');
});

test('SIGTERM: after the drain time what is left ends as drained', async (t) => {
  const stack = await start(t, { BERTH_DRAIN_TIMEOUT: '300ms' });
  const session = await admit(stack);
  assert.equal((await stack.workers[0].term()).code, 0);
  const { state: s, reason } = await stack.session(session.id);
  assert.deepEqual([s, reason], ['ended', 'drained']);
});

test('a second signal ends at once; a session that was starting is placed on another worker', async (t) => {
  const stack = await start(t, { BERTH_DRAIN_TIMEOUT: '600s', BERTH_WARM: 0, BERTH_BERTHS: 2, BERTH_SIM_START: '500ms' });
  const [worker] = stack.workers;
  const running = await admit(stack);
  await state(stack, running.id, 'running');
  const starting = await admit(stack);
  await worker.logged(new RegExp(`session=${starting.id} .*to=starting`));
  worker.signal('SIGTERM');
  await worker.logged(/shutdown .*to=waiting/);
  worker.signal('SIGINT');
  assert.equal((await worker.program.ended).code, 0);
  assert.equal((await state(stack, running.id, 'ended')).reason, 'drained');
  const moved = await stack.session(starting.id);
  if (moved.state !== 'ended') {
    assert.equal(moved.state, 'queued');
    await stack.addWorker({ env: { BERTH_WARM: 0 } });
    await state(stack, starting.id, 'running');
    await release(stack, starting.id);
  }
});

test('SIGTERM while Redis is away: it ends by itself', async (t) => {
  const stack = await start(t, { BERTH_DRAIN_TIMEOUT: '500ms' });
  const session = await admit(stack);
  await stack.workers[0].logged(new RegExp(`session=${session.id} from=warm to=taken`));
  await stack.redisServer.kill();
  const { code, forced } = await stack.workers[0].term();
  assert.deepEqual([code, forced], [0, false]);
});

test('SIGTERM while Redis hangs: it ends by itself', async (t) => {
  const stack = await start(t, { BERTH_DRAIN_TIMEOUT: '500ms', BERTH_LEASE: '60s' }, { sweep: false });
  await settled(stack, { warm: 2 });
  process.kill(stack.redisServer.pid, 'SIGSTOP');
  const ended = stack.workers[0].term();
  const { code, forced } = await ended;
  process.kill(stack.redisServer.pid, 'SIGCONT');
  assert.deepEqual([code, forced], [0, false]);
});

test('SIGTERM right after the start', async (t) => {
  const stack = await start(t, {}, { wait: false });
  const { code } = await stack.workers[0].term();
  assert.equal(code, 0);
  assert.equal(await stack.redis.zcard(stack.key('workers')), 0);
});
