// The worker process by itself: real Redis, simulated browsers, and this test in the API's place, calling the assembled scripts.
// After each test the harness audits Redis and looks for what was left on the host.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, waitFor } from './harness.mjs';
import { Cdp } from './cdp.mjs';

const FAST = { BERTH_SIM_START: '20ms', BERTH_LEASE: '8s', BERTH_CONNECT_TIMEOUT: '60s', BERTH_PRESSURE_CPU: '1000' };

/** A worker (or several) and a Redis, without an API; sweep runs as an API replica would run it. */
async function start(t, env = {}, { sweep = true, redis, workers = [{}], ...options } = {}) {
  const stack = await startStack(t, { apis: 0, workers, redis, env: { ...FAST, ...env }, ...options });
  if (sweep) {
    const lease = parseInt(stack.env.BERTH_LEASE, 10) * 1000;
    const timer = setInterval(() => stack.script('sweep', lease, 100, 'spread').catch(() => {}), 200);
    t.after(() => clearInterval(timer));
  }
  return stack;
}

const newId = () => `c0-${Array.from(randomBytes(24), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte & 31]).join('')}`;

/** Admits a session as the API would: its fields. */
async function admit(stack, { timeout = 300000, idle = 0, keepAlive = 1, wait = 60000, profile = 'default' } = {}) {
  const id = newId();
  const reply = await stack.script('admit', id, 'default', profile, timeout, idle, keepAlive, wait, 60000, 'spread', 0, 1000, 1000, '', '', '');
  assert.equal(reply[0], 'ok', reply.join(' '));
  return stack.session(id);
}

const release = (stack, id, reason = 'released') => stack.script('release', id, '', reason, '', '');

/** Waits until the session is in this state; its fields. */
function state(stack, id, want, timeout = 90000) {
  return waitFor(
    async () => {
      const session = await stack.session(id);
      return session.state === want && session;
    },
    { timeout, what: `${id} to be ${want}` },
  );
}

const counts = async (stack, i = 0) => {
  const w = await stack.redis.hgetall(stack.key(`worker:${stack.workers[i].id}`));
  return Object.fromEntries(['free', 'starting', 'warm', 'taken', 'cleaning'].map((name) => [name, Number(w[name])]));
};

/** The worker's berths are as many in these states as said. */
function settled(stack, want, i = 0) {
  return waitFor(
    async () => {
      const have = await counts(stack, i);
      return Object.entries(want).every(([name, n]) => have[name] === n);
    },
    { what: `worker ${i} to have ${JSON.stringify(want)}` },
  );
}

const epoch = async (stack, i = 0) => Number(await stack.redis.hget(stack.key(`worker:${stack.workers[i].id}`), 'epoch'));
const jobsLeft = (stack, i = 0) => stack.redis.xlen(stack.key(`jobs:${stack.workers[i].id}`));

/** Puts a job into a worker's stream as the scripts do. */
const addJob = (stack, fields) => stack.redis.xadd(stack.key(`jobs:${stack.workers[0].id}`), '*', ...Object.entries(fields).flat().map(String));

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

test('a session ends by its lifetime', async (t) => {
  const stack = await start(t, {}, { sweep: false }); // the worker's own timer, not the sweep's
  const session = await admit(stack, { timeout: 300 });
  assert.equal((await state(stack, session.id, 'ended')).reason, 'timeout');
});

test('a session ends when its client does nothing', async (t) => {
  const stack = await start(t, {}, { sweep: false });
  const session = await admit(stack, { idle: 300 });
  assert.equal((await state(stack, session.id, 'ended')).reason, 'idle');
});

test('a session without keepAlive to which nobody connects ends; one with keepAlive stays', async (t) => {
  const stack = await start(t, { BERTH_CONNECT_TIMEOUT: '300ms' }, { sweep: false });
  const kept = await admit(stack, { keepAlive: 1 });
  const cold = await admit(stack, { keepAlive: 0 });
  assert.equal((await state(stack, cold.id, 'ended')).reason, 'disconnected');
  assert.equal((await stack.session(kept.id)).state, 'running');
  await release(stack, kept.id);
});

const connect = (session) => Cdp.open(`${session.gateway}/s/${session.secret}`);

test('clients come and go: the session ends a grace after the last one left, and says why to who is still there', async (t) => {
  const stack = await start(t, { BERTH_DISCONNECT_GRACE: '200ms', BERTH_CONNECT_TIMEOUT: '60s' }, { sweep: false });
  const left = await admit(stack, { keepAlive: 0 });
  const first = await connect(left);
  const second = await connect(left);
  assert.equal((await first.send('Browser.getVersion')).product, 'Sim/1.0');
  await first.close();
  await stack.workers[0].logged(new RegExp(`clients .*session=${left.id} n=1`));
  await second.close();
  assert.equal((await state(stack, left.id, 'ended')).reason, 'disconnected');

  const kept = await admit(stack, { keepAlive: 1 });
  const client = await connect(kept);
  await client.close();
  const again = await connect(kept);
  await release(stack, kept.id);
  const { code, reason } = await again.closed;
  assert.equal(code, 1000, reason);
  await state(stack, kept.id, 'ended');
});

test('what clients do keeps a session from being idle', async (t) => {
  const stack = await start(t, {}, { sweep: false });
  const session = await admit(stack, { idle: 6000 });
  const client = await connect(session);
  const begun = Date.now();
  await waitFor(async () => (await client.send('Browser.getVersion'), Date.now() - begun > 8000), { what: 'eight seconds of activity', every: 100 });
  assert.equal((await stack.session(session.id)).state, 'running');
  const { reason } = await client.closed; // nothing is sent from here on
  assert.match(reason, /idle/);
  assert.equal((await state(stack, session.id, 'ended')).reason, 'idle');
});

test('a client that connects before the claim was read is not early', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 1, BERTH_WARM: 1 });
  const [worker] = stack.workers;
  const record = await stack.redis.hget(stack.key(`berths:${worker.id}`), '0');
  const client = await Cdp.open(`ws://${worker.gateway}/s/${record.split('|')[4]}`);
  await worker.logged(/clients .*session="" n=1/);
  const session = await admit(stack);
  await worker.logged(new RegExp(`session=${session.id} from=warm to=taken`));
  assert.equal((await client.send('Browser.getVersion')).product, 'Sim/1.0');
  await release(stack, session.id);
  await client.closed;
});

test('a client on a warm berth that nobody claims is put out, and the berth made anew', { timeout: 400000 }, async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 1, BERTH_WARM: 1 });
  const [worker] = stack.workers;
  const record = await stack.redis.hget(stack.key(`berths:${worker.id}`), '0');
  const client = await Cdp.open(`ws://${worker.gateway}/s/${record.split('|')[4]}`);
  await client.closed;
  await worker.logged(/client_without_claim/);
  await settled(stack, { warm: 1 });
  assert.notEqual((await stack.redis.hget(stack.key(`berths:${worker.id}`), '0')).split('|')[4], record.split('|')[4]);
});

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

test('SIGTERM right after the start', async (t) => {
  const stack = await start(t, {}, { wait: false });
  const { code } = await stack.workers[0].term();
  assert.equal(code, 0);
  assert.equal(await stack.redis.zcard(stack.key('workers')), 0);
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
