// BERTH_RANDOM_STEPS (default 100,000) random steps in all, in many short runs; BERTH_RANDOM_SEED (default: BERTH_SEED, or
// 1) is the first seed. A failure prints the seed and step of its run: with both set to what it says, the run is replayed alone.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { startRedis, assemble, load } from './fixture.mjs';
import { run, runs, STEPS_A_RUN } from './random.mjs';

const steps = Number(process.env.BERTH_RANDOM_STEPS ?? 100000);
const seed = Number(process.env.BERTH_RANDOM_SEED ?? process.env.BERTH_SEED ?? 1);
const scripts = assemble();
let server;

before(async () => {
  server = await startRedis();
  await load(await server.connect(), scripts);
});
after(() => server.stop());

test('a run is decided by its seed', async () => {
  const redis = await server.connect(20);
  const first = await run(redis, scripts, seed, STEPS_A_RUN);
  assert.deepEqual(await run(redis, scripts, seed, STEPS_A_RUN), first);
});

test(`${steps} random steps from seed ${seed}`, async (t) => {
  const began = performance.now();
  const stats = await runs(server.connect, scripts, seed, steps);
  t.diagnostic(`${steps} steps in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  if (process.env.BERTH_RANDOM_STATS) console.log(stats);
  if (steps < 100000) return;
  // What never happened was not tested.
  const seen = (what) => assert.ok(stats[what] > 0, `never seen: ${what}`);
  ['admit: ok', 'admit: concurrency_limit', 'admit: project_queue_full', 'admit: queue_full', 'admit: no_worker',
    'admit: idempotency_mismatch', 'admit  → running', 'admit  → starting', 'admit  → queued', 'offer queued → running',
    'offer queued → starting', 'freed queued → starting', 'failed starting → running', 'failed starting → queued',
    'failed starting → starting', 'failed starting → ended', 'register starting → queued', 'sweep starting → queued',
    'sweep running → ended', 'sweep queued → ended', 'sweep starting → ending', 'sweep running → ending', 'heartbeat queued → starting',
    'ready: session_gone', 'ready: stale_turn', 'withdraw: not_warm', 'reserve: no_berth',
    'drain: not_empty', 'freed: stale_epoch', 'heartbeat: unknown_worker', 'release: stale_epoch', 'cancel: not_found'].forEach(seen);
});
