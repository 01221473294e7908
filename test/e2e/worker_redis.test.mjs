// The worker and a Redis that repeats, forgets, ends and comes back; a worker that was killed, replaced or taken for dead.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from './harness.mjs';
import { start, admit, release, state, settled, epoch, jobsLeft, addJob } from './worker_alone.mjs';

/** Redis as it was when this was called, put in the place of what it is when the returned function is called. */
function snapshot(stack) {
  const [now, then] = [join(stack.dir, 'redis'), join(stack.dir, 'redis-then')];
  cpSync(now, then, { recursive: true });
  return async () => {
    await stack.redisServer.kill();
    rmSync(now, { recursive: true });
    cpSync(then, now, { recursive: true });
    await stack.redisServer.start();
  };
}

test('repeated, foreign, malformed and stale jobs change nothing', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 3, BERTH_WARM: 1 });
  const session = await admit(stack);
  await state(stack, session.id, 'running');
  const job = { epoch: session.epoch, berth: session.berth, turn: session.turn, session: session.id, profile: 'default' };
  await settled(stack, { taken: 1, warm: 1 });
  await addJob(stack, { kind: 'claim', ...job, timeout_ms: 1, idle_ms: 1, keep_alive: 0 });
  await addJob(stack, { kind: 'start', ...job, timeout_ms: 1, idle_ms: 1, keep_alive: 0 });
  await addJob(stack, { kind: 'stop', ...job, epoch: Number(session.epoch) - 1, reason: 'released' });
  await addJob(stack, { kind: 'stop', ...job, berth: 77 });
  await addJob(stack, { kind: 'dance', ...job });
  await addJob(stack, { nothing: 1 });
  await waitFor(async () => (await jobsLeft(stack)) === 0, { what: 'the jobs to be acknowledged' });
  assert.equal((await stack.session(session.id)).state, 'running');
  await settled(stack, { taken: 1, warm: 1, free: 1 });
  await release(stack, session.id);
  await state(stack, session.id, 'ended');
  for (let i = 0; i < 3; i++) await addJob(stack, { kind: 'stop', ...job, reason: 'released' });
  await waitFor(async () => (await jobsLeft(stack)) === 0, { what: 'the stop jobs to be acknowledged' });
  await settled(stack, { taken: 0, warm: 1, free: 2 });
});

test('kill -9 and a new process of the same id: sessions end worker_lost, unread jobs do no harm', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 4, BERTH_WARM: 2, BERTH_LEASE: '60s' });
  const before = await epoch(stack);
  const running = await admit(stack);
  process.kill(stack.workers[0].pid, 'SIGSTOP'); // jobs pile up unread
  const unread = await Promise.all([admit(stack), admit(stack), admit(stack), admit(stack)]);
  assert.ok((await jobsLeft(stack)) > 0);
  await stack.workers[0].kill();
  await stack.workers[0].restart();
  await waitFor(async () => (await epoch(stack)) > before, { what: 'a new epoch' });
  assert.equal((await state(stack, running.id, 'ended')).reason, 'worker_lost');
  for (const { id } of unread) {
    const s = await waitFor(async () => {
      const now = await stack.session(id);
      return ['running', 'ended'].includes(now.state) && now;
    }, { what: `${id} to be served or ended` });
    if (s.state === 'ended') assert.equal(s.reason, 'worker_lost');
    else await release(stack, id);
  }
  await settled(stack, { warm: 2, free: 2 });
});

test('two processes of one id: the older one ends with status 1 and says why', async (t) => {
  const stack = await start(t);
  const [older] = stack.workers;
  const session = await admit(stack);
  const program = older.program;
  older.port = 0; // the new one cannot have its port
  await older.start();
  const { code } = await program.ended;
  assert.equal(code, 1);
  assert.ok(program.lines.some((line) => /replaced .*now_epoch=\d+/.test(line)), program.tail(20));
  assert.equal((await state(stack, session.id, 'ended')).reason, 'worker_lost');
  await older.ready();
});

test('a lost lease: everything here ends, and the worker registers anew', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 3, BERTH_WARM: 1 });
  const before = await epoch(stack);
  const session = await admit(stack);
  await settled(stack, { taken: 1, warm: 1 });
  process.kill(stack.workers[0].pid, 'SIGSTOP');
  assert.equal((await state(stack, session.id, 'ended')).reason, 'worker_lost');
  process.kill(stack.workers[0].pid, 'SIGCONT');
  await stack.workers[0].logged(/lease_lost/);
  await waitFor(async () => (await epoch(stack)) > before, { what: 'a new epoch' });
  await settled(stack, { warm: 1, free: 2, taken: 0 });
  const next = await admit(stack);
  assert.equal(next.state, 'running');
  await release(stack, next.id);
});

test('Redis is killed and comes back (AOF): sessions go on, what happened meanwhile is told', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 6, BERTH_WARM: 2, BERTH_LEASE: '60s' }, { redis: { aof: true }, sweep: false });
  const kept = await admit(stack);
  const short = await admit(stack, { timeout: 4000 });
  await settled(stack, { taken: 2, warm: 2 });
  const before = await epoch(stack);
  await stack.redisServer.kill();
  await stack.workers[0].logged(new RegExp(`session=${short.id} from=cleaning to=idle`)); // by its own timer, unheard
  await stack.redisServer.start();
  assert.equal((await state(stack, short.id, 'ended')).reason, 'timeout');
  assert.equal((await stack.session(kept.id)).state, 'running');
  assert.equal(await epoch(stack), before);
  const next = await admit(stack);
  assert.equal(next.state, 'running');
  await stack.workers[0].logged(new RegExp(`session=${next.id} from=warm to=taken`));
  await release(stack, kept.id);
  await release(stack, next.id);
  await settled(stack, { warm: 2, taken: 0, free: 4, cleaning: 0 });
});

test('Redis is killed again and again under load: every session comes to an end', { timeout: 400000 }, async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 6, BERTH_WARM: 3, BERTH_LEASE: '60s' }, { redis: { aof: true } });
  const ids = [];
  let going = true;
  const client = async () => {
    while (going) {
      const { id } = await admit(stack).catch(() => ({}));
      if (id) ids.push(id);
      if (id) await waitFor(async () => (await stack.session(id)).state === 'running', { what: `${id} to run`, timeout: 60000 }).catch(() => {});
      if (id) await release(stack, id);
    }
  };
  const clients = Array.from({ length: 8 }, client);
  for (let i = 1; i <= 4; i++) {
    await waitFor(() => ids.length > i * 40, { what: `${i * 40} sessions`, timeout: 120000 });
    await stack.redisServer.kill();
    await stack.redisServer.start();
  }
  going = false;
  await Promise.all(clients);
  for (const id of ids) await state(stack, id, 'ended');
  await settled(stack, { warm: 3, free: 3 });
});

test('Redis comes back empty: everything ends here and the worker registers anew', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 3, BERTH_WARM: 1, BERTH_LEASE: '10s' });
  const session = await admit(stack);
  await stack.workers[0].logged(new RegExp(`session=${session.id} from=warm to=taken`));
  await stack.redisServer.kill();
  await stack.redisServer.start();
  await stack.workers[0].logged(/lease_lost/);
  await stack.workers[0].logged(new RegExp(`session=${session.id} from=taken to=cleaning reason=worker_lost`));
  await settled(stack, { warm: 1, free: 2 });
});

test('Redis forgets a claim: nobody else gets that browser', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 1, BERTH_WARM: 1, BERTH_LEASE: '60s' }, { redis: { aof: true }, sweep: false });
  const back = snapshot(stack);
  const first = await admit(stack);
  await stack.workers[0].logged(new RegExp(`session=${first.id} from=warm to=taken`));
  await back();
  const second = await admit(stack);
  assert.deepEqual([second.warm, second.berth, second.turn], ['1', first.berth, first.turn]);
  assert.equal((await state(stack, second.id, 'ended')).reason, 'browser_crashed');
  await settled(stack, { warm: 1, taken: 0, cleaning: 0 });
});

test('Redis forgets what it was told of starts and ends: the worker tells it again', { timeout: 400000 }, async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 3, BERTH_WARM: 0, BERTH_SIM_START: '300ms', BERTH_LEASE: '60s' }, { redis: { aof: true }, sweep: false });
  const [cold, gone] = [await admit(stack), await admit(stack)];
  await stack.workers[0].logged(new RegExp(`session=${gone.id} from=idle to=starting`));
  await waitFor(async () => (await jobsLeft(stack)) === 0, { what: 'the start jobs to be read' });
  const back = snapshot(stack);
  await state(stack, cold.id, 'running');
  await release(stack, gone.id);
  await state(stack, gone.id, 'ended');
  const late = await admit(stack);
  await state(stack, late.id, 'running');
  await back();
  assert.equal((await stack.session(cold.id)).state, 'starting');
  await state(stack, cold.id, 'running'); // `ready` again
  await state(stack, gone.id, 'running'); // `freed` again: it is placed anew
  await stack.workers[0].logged(new RegExp(`session=${late.id} from=taken to=cleaning`)); // nobody knows of it any more
  await release(stack, cold.id);
  await release(stack, gone.id);
  await settled(stack, { free: 3 });
});

test('a berth that Redis lost an answer about is given back', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 3, BERTH_WARM: 1 });
  const { id } = stack.workers[0];
  // As after a lost answer to `reserve`: Redis has a turn that the worker never heard of.
  assert.equal((await stack.script('reserve', id, await epoch(stack), 'default'))[0], 'ok');
  await settled(stack, { starting: 1, warm: 1 });
  await stack.workers[0].logged(/verdict=ghost/);
  await settled(stack, { starting: 0, warm: 1, free: 2 });
});
