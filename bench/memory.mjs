// bench/memory: what waiting and idle things cost in memory.
//
//   make bench-memory          or: node bench/memory.mjs [--polls 10000] [--berths 100] [--idle 10000] [--sessions 20] [--out FOLDER] [--quick]
//
// The API's process with many waiting long polls (each of a session of its own, that waits for a berth), and with as many waiting
// creates; a worker's with 100 simulated berths, warm and taken; the gateway's with many idle CDP connections (bench/lib/connections.mjs).
// And what a real browser costs its host (bench/lib/browsers.mjs). Memory of the programs is what the kernel says is the processes'
// own (RssAnon), CPU what they use while nothing happens.
import { execFile } from 'node:child_process';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { browserCosts } from './lib/browsers.mjs';
import { allowed, create, idle } from './lib/connections.mjs';
import { BUILD, ControlPlane, cpuSeconds, memoryKb, program } from './lib/control_plane.mjs';
import { writeJson } from './lib/json.mjs';
import { machine } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';
import { rests } from './lib/rest.mjs';
import { table } from './lib/table.mjs';
import { waitFor } from '../test/e2e/program.mjs';

const run = promisify(execFile);
const opt = readOptions(import.meta.url, {
  polls: { type: 'string', default: '10000' },
  berths: { type: 'string', default: '100' },
  idle: { type: 'string', default: '10000' },
  sessions: { type: 'string', default: '20' },
  out: { type: 'string', default: join(BUILD, 'memory') },
  quick: { type: 'boolean', default: false },
});
const rest = rests();
const polls = opt.quick ? 500 : Number(opt.polls);

/** Share of a core that a process uses while nothing happens. */
async function restingShare(pid, ms = 5000) {
  const [cpu, begun] = [cpuSeconds(pid), performance.now()];
  await new Promise((done) => setTimeout(done, ms));
  return ((cpuSeconds(pid) - cpu) / (performance.now() - begun)) * 1000;
}

/** What /metrics says of one gauge. */
async function gauge(plane, name) {
  const text = await (await fetch(`http://127.0.0.1:${plane.port}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** Holds one request open on each of so many connections: { answered, end }. */
function hold(plane, list) {
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity });
  const held = { answered: 0, end: () => agent.destroy() };
  for (const { path, body } of list) {
    const method = body ? 'POST' : 'GET';
    const call = request({ agent, host: '127.0.0.1', port: plane.port, path, method, headers: body ? { 'content-type': 'application/json' } : {} });
    call.on('response', (response) => (held.answered++, response.resume()));
    call.on('error', () => {});
    call.end(body);
  }
  return held;
}

/** An API with so many requests that wait; `prepare` makes them. */
async function waiting(gaugeName, prepare) {
  const plane = new ControlPlane();
  let held;
  try {
    await plane.startRedis();
    await plane.startApi({ BERTH_QUEUE: 1000000, BERTH_PROJECT_QUEUE: 1000000, BERTH_QUEUE_WAIT: '1h' });
    const list = await prepare(plane);
    const before = memoryKb(plane.api.pid);
    held = hold(plane, list);
    const all = async () => (await gauge(plane, gaugeName)) >= list.length;
    await waitFor(all, { timeout: 120000, every: 200, what: `${list.length} that wait` });
    await rest.pause();
    const after = memoryKb(plane.api.pid);
    const share = await restingShare(plane.api.pid);
    return { number: list.length, answered: held.answered, beforeKb: before, kb: after, bytesEach: ((after - before) * 1024) / list.length, cpuShare: share };
  } finally {
    held?.end();
    await plane.stop();
  }
}

async function seededPolls(plane) {
  // A worker that is full: one session has its berth, all others wait.
  const args = ['--seed', 1, '--seed-queue', polls, '--workers', 1, '--berths', 1, '--prefix', 'full', '--cell', plane.cell];
  await run(program('floor'), ['--redis', plane.redisUrl, ...args.map(String)]);
  const ids = await plane.redis.zrange(plane.key('queue:default'), 0, -1);
  return ids.map((id) => ({ path: `/v1/sessions/${id}?wait=300` }));
}

async function seededCreates(plane) {
  const args = ['--seed', 1, '--workers', 1, '--berths', 1, '--prefix', 'full', '--cell', plane.cell];
  await run(program('floor'), ['--redis', plane.redisUrl, ...args.map(String)]);
  return Array.from({ length: polls }, () => ({ path: '/v1/sessions?wait=3600', body: '{"keepAlive":true}' }));
}

async function workerOfBerths(berths) {
  const plane = new ControlPlane();
  try {
    await plane.startRedis();
    await plane.startApi();
    const worker = await plane.startWorkers({ workers: 1, berths, warm: berths });
    await rest.pause();
    const warmKb = memoryKb(worker.pid);
    for (let i = 0; i < berths; i++) await create(plane);
    await rest.pause();
    return { berths, warmKb, takenKb: memoryKb(worker.pid), cpuShare: await restingShare(worker.pid) };
  } finally {
    await plane.stop();
  }
}

const mb = (kb) => `${(kb / 1024).toFixed(1)} MB`;
const percent = (share) => `${(share * 100).toFixed(1)} %`;
const result = { machine: machine() };
result.polls = await waiting('berth_long_polls', seededPolls);
result.creates = await waiting('berth_waiting_creates', seededCreates);
result.worker = await workerOfBerths(Number(opt.berths));
result.idle = await idle(allowed(opt.quick ? 400 : Number(opt.idle)), rest);
result.browser = await browserCosts(opt.quick ? 5 : Number(opt.sessions), rest);
result.others = rest.others();
const { idle: connections, worker, browser } = result;
const rows = [
  [`API, ${result.polls.number} waiting long polls`, mb(result.polls.kb), `${Math.round(result.polls.bytesEach)} B`, percent(result.polls.cpuShare)],
  [`API, ${result.creates.number} waiting creates`, mb(result.creates.kb), `${Math.round(result.creates.bytesEach)} B`, percent(result.creates.cpuShare)],
  [`worker, ${worker.berths} simulated berths, warm`, mb(worker.warmKb), null, null],
  [`worker, ${worker.berths} simulated berths, taken`, mb(worker.takenKb), null, percent(worker.cpuShare)],
  [`gateway, ${connections.connections} idle connections`, mb(connections.steps.at(-1).kb), `${Math.round(connections.bytesEach)} B`, percent(connections.cpuShare)],
];
if (connections.connections < 10000) rows.push(['gateway, 10000 (by the slope of the steps)', mb(connections.at10000Kb), null, null]);
rows.push(['browser in its berth, warm', mb(browser.warmKb), null, null]);
rows.push(['browser in its berth, with a small page', mb(browser.pageKb), null, percent(browser.restingShare)]);
console.log(table(['', 'memory', 'each', 'CPU at rest'], rows));
console.log(`a session on a real browser, its start and warm-up included: ${browser.cpuASession.toFixed(2)} s of CPU, the worker's own ${(browser.workerCpuASession * 1000).toFixed(0)} ms`);
if (result.polls.answered + result.creates.answered > 0) console.log(`answered too early: ${result.polls.answered} polls, ${result.creates.answered} creates`);
writeJson(join(opt.out, 'memory.json'), result);
console.log(`\nother programs used ${Math.round(result.others * 100)} % of the machine in between; results in ${opt.out}`);
