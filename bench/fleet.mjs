// bench/fleet: how cost grows with workers, live sessions, waiting sessions and projects.
//
//   make bench-fleet           or: node bench/fleet.mjs [--seconds 5] [--only workers,sessions,queue,projects,berths] [--out FOLDER] [--quick]
//
// Each point is a Redis of its own with one API and simulated workers, all berths warm, and 4 clients in a closed loop with warm
// creates and releases: few enough that latencies tell cost and no queueing. Live sessions are put there through the scripts by
// bench/floor.c, on played workers whose leases last; so are the waiting ones, and there the creates wait too (?wait=0) and
// are cancelled, and bench/floor.c serves the queue's head over and over. Heartbeat, sweep and audit are timed by Redis itself,
// one script after the other. `berths` is another thing: how long one call keeps Redis when one worker has many
// (bench/lib/large_worker.mjs). Each other dimension's smallest point is repeated at its end, to show what the machine did meanwhile.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BUILD, ControlPlane, difference, measured, memoryKb, program, scriptCalls } from './lib/control_plane.mjs';
import { writeJson, writeText } from './lib/json.mjs';
import { machine } from './lib/machine.mjs';
import { largeWorker, largeWorkerSeries, largeWorkerTable } from './lib/large_worker.mjs';
import { readOptions } from './lib/options.mjs';
import { rests } from './lib/rest.mjs';
import { lines } from './lib/svg.mjs';
import { table } from './lib/table.mjs';

const run = promisify(execFile);
const opt = readOptions(import.meta.url, {
  seconds: { type: 'string', default: '5' },
  only: { type: 'string', default: 'workers,sessions,queue,projects,berths' },
  out: { type: 'string', default: join(BUILD, 'fleet') },
  quick: { type: 'boolean', default: false },
});
const rest = rests();
const seconds = opt.quick ? 1 : Number(opt.seconds);
const POINTS = opt.quick
  ? { workers: [10, 100], sessions: [100, 1000], queue: [0, 1000], projects: [1, 100], berths: [10, 100] }
  : { workers: [10, 100, 1000], sessions: [100, 1000, 10000, 100000], queue: [0, 100, 1000, 10000], projects: [1, 10, 100, 1000], berths: [10, 100, 1000, 4096] };
const BASE = { workers: 10, sessions: 0, queue: 0, projects: 1 };
const SAMPLES = 20000; // keys whose memory is asked for, at most

/** Runs one of lua/ so many times over; microseconds of Redis' time each, by commandstats. */
async function scriptCost(plane, name, times, args) {
  const replies = [];
  const before = await plane.reading();
  for (let i = 0; i < times; i++) replies.push(await plane.call(name, args(i, replies.at(-1))));
  const { commands } = difference(before, await plane.reading());
  // Simulated workers call scripts meanwhile: the mean is over all of them, and theirs are heartbeats.
  const { calls, usec } = scriptCalls(commands);
  return { us: usec / calls, replies };
}

/** One whole audit: Redis' time in all, slices, findings. */
async function auditCost(plane) {
  let cursor = '0';
  let [slices, us, most, findings] = [0, 0, 0, 0];
  do {
    const { us: took, reply } = await plane.script('audit', cursor, '100');
    slices++;
    us += took;
    most = Math.max(most, took);
    cursor = String(reply[1]);
    findings += reply[3].length;
  } while (cursor !== '0');
  return { slices, us, most, findings };
}

/** Bytes by kind of key (session, berths, …), MEMORY USAGE of up to SAMPLES keys of each scaled up, and how many there are. */
async function memoryByKind(plane) {
  const kinds = new Map();
  const prefix = plane.key('');
  let cursor = '0';
  do {
    const [next, keys] = await plane.redis.scan(cursor, 'COUNT', 2000);
    cursor = next;
    for (const key of keys) {
      const kind = key.startsWith(prefix) ? key.slice(prefix.length).split(':')[0] : 'other';
      if (!kinds.has(kind)) kinds.set(kind, []);
      kinds.get(kind).push(key);
    }
  } while (cursor !== '0');
  const result = {};
  for (const [kind, keys] of kinds) {
    const some = keys.slice(0, SAMPLES);
    const pipeline = plane.redis.pipeline();
    for (const key of some) pipeline.memory('USAGE', key, 'SAMPLES', '0');
    const bytes = (await pipeline.exec()).reduce((sum, [, value]) => sum + (value ?? 0), 0);
    result[kind] = { keys: keys.length, bytes: Math.round((bytes / some.length) * keys.length) };
  }
  return result;
}

/** The longest that Redis was busy with one call since its log was reset, microseconds; what the machine did meanwhile is in it. */
async function slowestCall(plane) {
  const calls = await plane.redis.slowlog('GET', 128);
  return Math.max(0, ...calls.map(([, , took]) => took));
}

async function seed(plane, { sessions, queue, projects }) {
  if (sessions + queue === 0) return;
  // Played workers carry a profile of their own when there is a queue: nobody else serves it.
  const berths = Math.min(1000, Math.max(1, Math.ceil(sessions / 100)));
  const workers = Math.max(1, Math.ceil(sessions / berths));
  const own = ['--workers', workers, '--berths', berths, '--prefix', 'played', '--cell', plane.cell, '--profile', 'seeded'];
  await run(program('floor'), ['--redis', plane.redisUrl, '--seed', workers * berths, '--seed-queue', queue, '--projects', projects, ...own].map(String));
}

async function clients(plane, { queue, projects }) {
  const args = ['--api', `127.0.0.1:${plane.port}`, '--lanes', '4', '--seconds', String(seconds), '--projects', String(projects)];
  if (queue > 0) args.push('--path', '/v1/sessions?wait=0', '--body', '{"runtimeProfile":"seeded"}');
  await rest.pause();
  return measured(plane, [program('load'), ...args]);
}

async function point(dimension, value) {
  const size = { ...BASE, [dimension]: value };
  const plane = new ControlPlane();
  try {
    await plane.startRedis(['--slowlog-log-slower-than', '500', '--slowlog-max-len', '1000']);
    const empty = (await plane.reading()).memory;
    await seed(plane, size);
    const seeded = (await plane.reading()).memory;
    await plane.startApi({ BERTH_QUEUE: 1000000, BERTH_PROJECT_QUEUE: 1000000 });
    await plane.startWorkers({ workers: size.workers, berths: 10 });
    // At rest: heartbeats and sweeps alone.
    const rest = await plane.reading();
    await new Promise((done) => setTimeout(done, Math.max(2000, seconds * 1000)));
    const idle = difference(rest, await plane.reading());
    await plane.redis.slowlog('RESET');
    const load = await clients(plane, size);
    const slowest = await slowestCall(plane);
    const epochs = await plane.redis.hget(plane.key('worker:w0-1'), 'epoch');
    const beat = await scriptCost(plane, 'heartbeat', 500, () => ['w0-1', epochs, '10000', '0', '1.0', '1.0', '1.0', '0', 'spread']);
    const sweep = await scriptCost(plane, 'sweep', 200, () => ['10000', '100', 'spread']);
    const audit = await auditCost(plane);
    const memory = await memoryByKind(plane);
    const live = Math.max(1, size.sessions);
    return {
      dimension,
      value,
      create: load.create,
      release: load.release,
      perSecond: load.perSecond,
      failures: load.failures + load.unanswered,
      redisUs: (load.used.redis / Math.max(1, load.lifecycles)) * 1e6,
      redisBytes: load.used.net / Math.max(1, load.lifecycles),
      slowest,
      idleRedisShare: idle.redis / idle.seconds,
      idleWorkerShare: idle.worker / idle.seconds,
      heartbeatUs: beat.us,
      sweepUs: sweep.us,
      audit,
      memory,
      bytesASession: size.sessions ? (seeded - empty) / live : null,
      apiKb: memoryKb(plane.api.pid),
      workerKb: memoryKb(plane.workers[0].pid),
      serve: size.queue ? await serveQueue(plane, size.queue) : null,
    };
  } finally {
    await plane.stop();
  }
}

/** The worker's side of a queue: freed serves its head. */
async function serveQueue(plane, queue) {
  const args = ['--cell', 'serve', '--queue', queue, '--lanes', 4, '--seconds', seconds];
  const result = await measured(plane, [program('floor'), '--redis', plane.redisUrl, ...args.map(String)]);
  return { perSecond: result.perSecond, redisUs: (result.used.redis / result.lifecycles) * 1e6, freed: result.freed, admit: result.admit };
}

const us = (value) => (value === null || value === undefined ? null : Math.round(value));

function pointTable(dimension, points) {
  const rows = points.map((p) => [
    p.value,
    us(p.create.p50),
    us(p.create.p99),
    us(p.release.p50),
    us(p.release.p99),
    us(p.redisUs),
    us(p.heartbeatUs),
    us(p.sweepUs),
    `${(p.audit.us / 1000).toFixed(0)} ms / ${p.audit.slices}`,
    us(p.audit.most),
    us(p.bytesASession),
    `${(p.idleRedisShare * 100).toFixed(1)} %`,
    us(p.serve?.redisUs),
    us(p.slowest),
    p.failures + p.audit.findings,
  ]);
  const head = [dimension, 'create p50', 'p99', 'release p50', 'p99', 'Redis each', 'heartbeat', 'sweep', 'audit / slices', 'longest slice', 'B/session', 'idle Redis', 'serve', 'longest call', 'wrong'];
  return `${table(head, rows)}\n(µs where nothing else is said)`;
}

function memoryTable(point) {
  const rows = Object.entries(point.memory)
    .sort((a, b) => b[1].bytes - a[1].bytes)
    .map(([kind, { keys, bytes }]) => [kind, keys, bytes, Math.round(bytes / keys), (bytes / Math.max(1, point.value)).toFixed(0)]);
  return table([`${point.value} ${point.dimension}: keys`, 'number', 'bytes', 'each', `for one of ${point.dimension}`], rows);
}

const result = { machine: machine(), seconds, dimensions: {} };
for (const dimension of opt.only.split(',').filter((d) => d !== 'berths')) {
  const points = [];
  for (const value of [...POINTS[dimension], POINTS[dimension][0]]) points.push(await point(dimension, value));
  result.dimensions[dimension] = points;
  const curve = points.slice(0, -1);
  console.log(`${pointTable(dimension, points)}\n`);
  // Without a queue a create is another thing than with one.
  const [first, last] = [curve.find((p) => dimension !== 'queue' || p.value > 0), curve.at(-1)];
  console.log(`create p50, ${last.value} against ${first.value}: ${(last.create.p50 / first.create.p50).toFixed(2)}\n`);
  if (dimension === 'sessions') console.log(`${memoryTable(last)}\n`);
  const at = (pick) => curve.map((p) => [Math.max(1, p.value), Math.max(1, pick(p))]);
  const series = [
    { name: 'create p50', points: at((p) => p.create.p50) },
    { name: 'release p50', points: at((p) => p.release.p50) },
    { name: 'Redis CPU a lifecycle', points: at((p) => p.redisUs) },
    { name: 'heartbeat', points: at((p) => p.heartbeatUs) },
    { name: 'sweep', points: at((p) => p.sweepUs) },
  ];
  writeText(join(opt.out, `${dimension}.svg`), lines({ title: `Cost by ${dimension}`, xLabel: dimension, yLabel: 'µs', series, xLog: true, yLog: true }));
  writeJson(join(opt.out, 'fleet.json'), result);
}
if (opt.only.split(',').includes('berths')) {
  result.berths = [];
  for (const berths of POINTS.berths) {
    await rest.pause();
    result.berths.push(await largeWorker(berths));
  }
  console.log(`${largeWorkerTable(result.berths)}\n`);
  const series = largeWorkerSeries(result.berths);
  writeText(join(opt.out, 'berths.svg'), lines({ title: 'Longest call by the berths of one worker', xLabel: 'berths', yLabel: 'µs', series, xLog: true, yLog: true }));
}
result.others = rest.others();
writeJson(join(opt.out, 'fleet.json'), result);
console.log(`other programs used ${Math.round(result.others * 100)} % of the machine in between; results in ${opt.out}`);
