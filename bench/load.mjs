// bench/load: the control plane alone. Real API, real Redis, simulated workers; lifecycles of create, hold, release.
//
//   make bench-load            or: node bench/load.mjs [--seconds 10] [--rounds 3] [--lanes 64] [--out FOLDER] [--quick]
//
// In one run, in turns, on one Redis: Berth in a closed loop; the floor (bench/floor.c: the same scripts with the same data, called
// by one C program); BullMQ (add, work, waitUntilFinished). Then an open loop at fractions of what Berth did in the closed one, to
// past its saturation; then a fleet with too few berths, to past that. Medians over the rounds. Writes load.json and SVG files.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../test/e2e/program.mjs';
import { BUILD, ControlPlane, ROOT, cpuSeconds, measured, program, scriptCalls } from './lib/control_plane.mjs';
import { writeJson, writeText } from './lib/json.mjs';
import { machine } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';
import { rests } from './lib/rest.mjs';
import { median } from './lib/stats.mjs';
import { lines } from './lib/svg.mjs';
import { table } from './lib/table.mjs';

const opt = readOptions(import.meta.url, {
  seconds: { type: 'string', default: '10' },
  rounds: { type: 'string', default: '3' },
  lanes: { type: 'string', default: '64' },
  workers: { type: 'string', default: '8' },
  berths: { type: 'string', default: '64' },
  out: { type: 'string', default: join(BUILD, 'load') },
  quick: { type: 'boolean', default: false },
});
const rest = rests();
const seconds = opt.quick ? 2 : Number(opt.seconds);
const rounds = opt.quick ? 1 : Number(opt.rounds);
const lanes = Number(opt.lanes);
const SHARES = [0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.2, 1.5];
const OVERLOADS = [0.5, 0.8, 0.95, 1.1, 1.5, 2];

const say = (text) => console.log(text);
const us = (value) => (value === undefined ? null : value >= 10000 ? `${(value / 1000).toFixed(1)} ms` : `${Math.round(value)} µs`);
const each = (cpu, count) => (count > 0 ? (cpu / count) * 1e6 : null);

/** CPU microseconds for each lifecycle, by program, and scripts for each. */
function costs(result) {
  const { used, lifecycles } = result;
  const scripts = scriptCalls(used.commands).calls / Math.max(1, lifecycles);
  return { redis: each(used.redis, lifecycles), api: each(used.api, lifecycles), worker: each(used.worker, lifecycles), scripts };
}

const load = (plane, args) =>
  measured(plane, [program('load'), '--api', `127.0.0.1:${plane.port}`, '--seconds', String(seconds), ...args.map(String)]);

async function floor(plane, round) {
  const own = ['--cell', `floor${round}`, '--workers', opt.workers, '--berths', opt.berths];
  return measured(plane, [program('floor'), '--redis', plane.redisUrl, '--seconds', String(seconds), '--lanes', String(lanes), ...own]);
}

async function bullmq(plane) {
  const file = join(ROOT, 'bench/load_bullmq.mjs');
  const worker = new Program('bullmq', [process.execPath, file, 'work', plane.socket, String(lanes)], {
    env: process.env,
    cwd: plane.dir,
    logFile: join(plane.dir, 'bullmq.log'),
  });
  try {
    await worker.line(/^ready$/);
    const before = cpuSeconds(worker.pid);
    const result = await measured(plane, [process.execPath, file, 'add', plane.socket, String(lanes), '1', String(seconds)]);
    // The worker's CPU includes the warm-up of one second.
    const share = seconds / (seconds + 1);
    return { ...result, used: { ...result.used, api: result.own, worker: (cpuSeconds(worker.pid) - before) * share } };
  } finally {
    await worker.end(5000);
  }
}

async function closedLoops(plane) {
  const runs = { berth: [], floor: [], bullmq: [] };
  const peers = existsSync(join(ROOT, 'bench/node_modules/bullmq'));
  if (!peers) say('BullMQ is not installed (scripts/setup bench): left out');
  for (let round = 0; round < rounds; round++) {
    await rest.pause();
    runs.berth.push(await load(plane, ['--lanes', lanes]));
    await rest.pause();
    runs.floor.push(await floor(plane, round));
    if (!peers) continue;
    await rest.pause();
    runs.bullmq.push(await bullmq(plane));
  }
  return runs;
}

function closedTable(runs) {
  const rows = [];
  for (const [name, list] of Object.entries(runs)) {
    if (list.length === 0) continue;
    const cost = list.map(costs);
    const of = (part) => us(median(cost.map((c) => c[part])) || undefined);
    rows.push([
      name,
      Math.round(median(list.map((r) => r.perSecond))),
      us(median(list.map((r) => (r.create ?? r.lifecycle).p50))),
      us(median(list.map((r) => (r.create ?? r.lifecycle).p99))),
      of('redis'),
      of('api'),
      of('worker'),
      median(cost.map((c) => c.scripts)).toFixed(1),
    ]);
  }
  return table(['closed loop', 'lifecycles/s', 'p50', 'p99', 'Redis CPU', 'API CPU', 'worker CPU', 'scripts'], rows);
}

async function openLoop(plane, capacity) {
  const steps = [];
  for (const share of SHARES) {
    await rest.pause();
    const result = await load(plane, ['--rate', (share * capacity).toFixed(1), '--connections', 512]);
    steps.push({ share, ...result, costs: costs(result) });
  }
  return steps;
}

function openTable(steps) {
  const rows = steps.map((s) => [
    `${s.share} × (${Math.round(s.rate)}/s)`,
    Math.round(s.perSecond),
    us(s.create.p50),
    us(s.create.p99),
    us(s.create.p999),
    us(s.release.p50),
    us(s.release.p99),
    us(s.costs.redis),
    us(s.costs.api),
    us(s.costs.worker),
    s.failures + s.unanswered,
  ]);
  const head = ['open loop, offered', 'done/s', 'create p50', 'p99', 'p99.9', 'release p50', 'p99', 'Redis CPU', 'API', 'worker', 'failed'];
  return table(head, rows);
}

/** Too few berths: 32, each held for 100 ms and refilled. What is offered beyond goes through the queue of 200, then 429. */
async function fewBerths() {
  const plane = new ControlPlane();
  const [berths, hold] = [32, 100];
  try {
    await plane.startRedis();
    await plane.startApi({ BERTH_QUEUE: 200 });
    await plane.startWorkers({ workers: 4, berths: berths / 4 });
    const capacity = (berths / hold) * 1000;
    const steps = [];
    for (const share of OVERLOADS) {
      await rest.pause();
      const result = await load(plane, ['--rate', share * capacity, '--connections', 1024, '--hold', hold, '--warmup', 2]);
      steps.push({ share, ...result });
    }
    return { berths, hold, capacity, steps };
  } finally {
    await plane.stop();
  }
}

function fewTable({ steps, berths, hold }) {
  const rows = steps.map((s) => [
    `${s.share} × (${Math.round(s.rate)}/s)`,
    Math.round(s.perSecond),
    us(s.create.p50),
    us(s.create.p99),
    s.createStatus[201] ?? 0,
    s.createStatus[429] ?? 0,
    s.failures + s.unanswered - (s.createStatus[429] ?? 0),
  ]);
  return table([`${berths} berths held ${hold} ms, offered`, 'done/s', 'create p50', 'p99', '201', '429', 'other'], rows);
}

function plots(result) {
  const points = (list, pick) => list.map((s) => [Math.round(s.rate), Math.max(0.001, pick(s))]);
  const curves = (list) => [
    { name: 'create p50', points: points(list, (s) => s.create.p50 / 1000) },
    { name: 'create p99', points: points(list, (s) => s.create.p99 / 1000) },
    { name: 'release p99', points: points(list, (s) => s.release.p99 / 1000) },
  ];
  const shared = { xLabel: 'offered, lifecycles/s', yLabel: 'ms, from when the call was due', yLog: true };
  writeText(join(opt.out, 'load.svg'), lines({ title: 'Latency by offered rate', series: curves(result.open), ...shared }));
  const few = { title: 'Latency by offered rate, 32 berths held 100 ms, 200 may wait', series: curves(result.few.steps), ...shared };
  writeText(join(opt.out, 'load-few-berths.svg'), lines(few));
}

const result = { machine: machine(), seconds, rounds, lanes };
const plane = new ControlPlane();
try {
  await plane.startRedis();
  await plane.startApi();
  // As a worker does by itself (the setting's default): a pool that is refilled all at once holds Redis up for everybody.
  await plane.startWorkers({ workers: Number(opt.workers), berths: Number(opt.berths), settings: { BERTH_START_PARALLEL: 2 } });
  result.closed = await closedLoops(plane);
  say(closedTable(result.closed));
  const rate = (name) => median(result.closed[name].map((r) => r.perSecond));
  const ratio = (name) => (result.closed[name].length ? (rate('berth') / rate(name)).toFixed(2) : 'not measured');
  say(`\nberth / floor: ${ratio('floor')}    berth / BullMQ: ${ratio('bullmq')}\n`);
  result.open = await openLoop(plane, rate('berth'));
  say(openTable(result.open));
  const half = result.open.find((s) => s.share === 0.5).create;
  say(`\ncreate p99 / p50 at half of the closed loop's rate: ${(half.p99 / half.p50).toFixed(1)}\n`);
} finally {
  await plane.stop();
}
result.few = await fewBerths();
say(fewTable(result.few));
result.others = rest.others();
plots(result);
writeJson(join(opt.out, 'load.json'), result);
say(`\nother programs used ${Math.round(result.others * 100)} % of the machine in between; results in ${opt.out}`);
