// The worker by itself, with simulated browsers: its berths and its warm pool.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from './harness.mjs';
import { start, admit, release, state, settled, jobsLeft } from './worker_alone.mjs';

test('registers, fills its warm pool, and says what it is', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 5, BERTH_WARM: 3 });
  await settled(stack, { free: 2, warm: 3, starting: 0, taken: 0, cleaning: 0 });
  const w = await stack.redis.hgetall(stack.key(`worker:${stack.workers[0].id}`));
  assert.equal(w.state, 'ready');
  assert.equal(w.gateway, `ws://${stack.workers[0].gateway}`);
  assert.equal(w.profiles, 'default');
  assert.equal(w.driver, 'sim');
  const info = JSON.parse(w.info);
  assert.equal(info.pid, stack.workers[0].pid);
  assert.ok(info.cpus > 0 && info.memoryMb > 0 && info.host && info.version && info.isolation);
  const seen = Number(w.seen);
  await waitFor(async () => Number(await stack.redis.hget(stack.key(`worker:${stack.workers[0].id}`), 'seen')) > seen, { what: 'a heartbeat' });
});

test('a warm berth is claimed in one call, the pool fills again, a release frees the berth', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 4, BERTH_WARM: 2 });
  const session = await admit(stack);
  assert.equal(session.state, 'running');
  assert.equal(session.warm, '1');
  assert.match(session.secret, new RegExp(`^${session.berth}-[0-9a-f]{32}$`));
  assert.ok(JSON.parse(session.timings).totalMs >= 20);
  await stack.workers[0].logged(new RegExp(`session=${session.id} from=warm to=taken reason=claimed`));
  await settled(stack, { warm: 2, taken: 1, free: 1 });
  await release(stack, session.id);
  assert.equal((await state(stack, session.id, 'ended')).reason, 'released');
  await settled(stack, { warm: 2, taken: 0, cleaning: 0, free: 2 });
  await waitFor(async () => (await jobsLeft(stack)) === 0, { what: 'all jobs to be acknowledged and deleted' });
});

test('without a warm berth a browser is started for the session', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 2, BERTH_WARM: 0 });
  const session = await admit(stack);
  assert.equal(session.state, 'starting');
  const running = await state(stack, session.id, 'running');
  assert.match(running.secret, new RegExp(`^${running.berth}-[0-9a-f]{32}$`));
  await release(stack, session.id);
  await state(stack, session.id, 'ended');
  await settled(stack, { free: 2 });
});

test('a release while the browser starts', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 1, BERTH_WARM: 0, BERTH_SIM_START: '300ms' });
  const session = await admit(stack);
  await stack.workers[0].logged(/to=starting reason=session/);
  await release(stack, session.id, 'cancelled');
  assert.equal((await state(stack, session.id, 'ended')).reason, 'cancelled');
  await settled(stack, { free: 1 });
  const next = await admit(stack);
  await state(stack, next.id, 'running');
  await release(stack, next.id);
});

test('more sessions than berths: each freed berth serves the queue', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 3, BERTH_WARM: 2 });
  const sessions = await Promise.all(Array.from({ length: 12 }, () => admit(stack)));
  for (const { id } of sessions) {
    await state(stack, id, 'running');
    await release(stack, id);
  }
  for (const { id } of sessions) assert.equal((await state(stack, id, 'ended')).reason, 'released');
  await settled(stack, { warm: 2, free: 1 });
});

test('browsers that do not start: sessions are placed again, the pool backs off and recovers', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 4, BERTH_WARM: 2, BERTH_SIM_FAIL: 40 }, { wait: false });
  const failed = () => stack.workers[0].log.some((line) => /pool_backoff .*failures=\d/.test(line));
  await settled(stack, { warm: 2 });
  // Which starts fail is chance: the pool is made to start browsers until one did.
  while (!failed()) {
    await release(stack, (await admit(stack)).id);
    await settled(stack, { warm: 2 });
  }
  const sessions = await Promise.all(Array.from({ length: 10 }, () => admit(stack)));
  const ends = new Set();
  for (const { id } of sessions) {
    const s = await waitFor(async () => {
      const now = await stack.session(id);
      return ['running', 'ended'].includes(now.state) && now;
    }, { what: `${id} to run or to end` });
    if (s.state === 'running') await release(stack, id);
    ends.add((await state(stack, id, 'ended')).reason);
  }
  for (const reason of ends) assert.ok(['released', 'start_failed'].includes(reason), reason);
});

test('a session of another profile takes a warm place when no free one is left', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'berth-profiles-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const profiles = [
    { name: 'default', driver: 'sim', warm: 2, simStartMs: 20 },
    { name: 'other', driver: 'sim', warm: 0, simStartMs: 20 },
  ];
  writeFileSync(join(dir, 'profiles.json'), JSON.stringify({ profiles }));
  const stack = await start(t, { BERTH_BERTHS: 2, BERTH_WARM: 2, BERTH_PROFILES: join(dir, 'profiles.json') });
  const other = await admit(stack, { profile: 'other' });
  assert.equal(other.state, 'starting');
  assert.equal(other.turn, '2');
  await state(stack, other.id, 'running');
  await stack.workers[0].logged(new RegExp(`session=${other.id} from=idle to=starting`));
  const own = await admit(stack);
  assert.equal(own.state, 'running');
  await release(stack, other.id);
  await release(stack, own.id);
  await settled(stack, { warm: 2, free: 0 });
});

test('under pressure no browser is started, neither for the pool nor for sessions', async (t) => {
  const stack = await start(t, { BERTH_PRESSURE_MEM: 1 }, { wait: false });
  const key = stack.key(`worker:${stack.workers[0].id}`);
  await waitFor(async () => (await stack.redis.hget(key, 'pressure')) === '1', { what: 'pressure in Redis' });
  const session = await admit(stack, { wait: 60000 });
  assert.equal(session.state, 'queued');
  await settled(stack, { warm: 0, starting: 0 });
  await release(stack, session.id, 'cancelled');
});

test('a CPU that others keep busy does not shut out a worker that runs nothing', async (t) => {
  const stack = await start(t, { BERTH_PRESSURE_CPU: 1, BERTH_WARM: 1 }, { wait: false });
  const busy = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
  t.after(() => busy.kill('SIGKILL'));
  const key = stack.key(`worker:${stack.workers[0].id}`);
  await settled(stack, { warm: 1 });
  await waitFor(async () => (await stack.redis.hget(key, 'pressure')) === '1', { what: 'pressure, now that it has a browser' });
  const warm = await admit(stack);
  assert.equal(warm.state, 'running');
  const cold = await admit(stack, { wait: 60000 });
  assert.equal(cold.state, 'queued');
  await release(stack, warm.id);
  await state(stack, cold.id, 'running');
  await release(stack, cold.id);
});

test('browsers that waited warm for too long are replaced one at a time', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 4, BERTH_WARM: 2, BERTH_WARM_MAX_AGE: '1s' });
  const turns = async () => Object.values(await stack.redis.hgetall(stack.key(`berths:${stack.workers[0].id}`))).reduce((sum, r) => sum + Number(r.split('|')[1]), 0);
  const before = await turns();
  await waitFor(async () => (await turns()) >= before + 3, { what: 'three replacements' });
  await stack.workers[0].ready();
  const session = await admit(stack);
  assert.equal(session.state, 'running');
  await release(stack, session.id);
});

test('a fleet of simulated workers in one process', { timeout: 400000 }, async (t) => {
  const stack = await start(
    t,
    { BERTH_SIM_WORKERS: 20, BERTH_BERTHS: 10, BERTH_WARM: 2, BERTH_DRAIN_TIMEOUT: '2s', BERTH_CONNECT_TIMEOUT: '100ms', BERTH_LEASE: '30s' },
    { wait: false },
  );
  const ids = () => stack.redis.zrange(stack.key('workers'), 0, -1);
  await waitFor(async () => (await ids()).length === 20, { what: '20 workers' });
  await waitFor(async () => (await stack.redis.zcard(stack.key('warm:default'))) === 40, { what: '40 warm berths' });
  const sessions = await Promise.all(Array.from({ length: 150 }, () => admit(stack, { keepAlive: 0 })));
  for (const { id } of sessions) await state(stack, id, 'running');
  const used = new Set(await Promise.all(sessions.map(async ({ id }) => (await stack.session(id)).worker)));
  assert.ok(used.size > 10, `${used.size} workers have sessions`);
  await Promise.all(sessions.slice(0, 140).map(({ id }) => release(stack, id)));
  for (const { id } of sessions.slice(0, 140)) assert.equal((await state(stack, id, 'ended')).reason, 'released');
  assert.equal((await stack.workers[0].term()).code, 0);
  for (const { id } of sessions.slice(140)) assert.equal((await stack.session(id)).reason, 'drained');
  assert.equal((await ids()).length, 0);
});
