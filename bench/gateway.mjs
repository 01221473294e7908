// bench/gateway: what the relay of CDP costs.
//
//   make bench-gateway         or: node bench/gateway.mjs [--seconds 3] [--rounds 5] [--idle 10000] [--busy 1000] [--out FOLDER] [--quick]
//
// With a real browser, in turns: straight to a Chromium without Berth (same binary, same flags), through the worker's gateway, and
// through the API's relay and the gateway: round trips of one small command, and 10 MB to and from a page. With simulated
// browsers: memory of the gateway's process with many idle connections (the simulated browsers' ends are in it too), and how
// evenly many busy connections are served. bench/cdp_load.c is the client.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { takeSlot } from '../test/e2e/host.mjs';
import { findBrowser, launch } from './arena/chromium.mjs';
import { BUILD, ControlPlane, cpuSeconds, measured, memoryKb, program } from './lib/control_plane.mjs';
import { writeJson, writeText } from './lib/json.mjs';
import { machine } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';
import { rests } from './lib/rest.mjs';
import { quantile } from './lib/stats.mjs';
import { stackedBars } from './lib/svg.mjs';
import { table } from './lib/table.mjs';

const opt = readOptions(import.meta.url, {
  seconds: { type: 'string', default: '3' },
  rounds: { type: 'string', default: '5' },
  idle: { type: 'string', default: '10000' },
  busy: { type: 'string', default: '1000' },
  out: { type: 'string', default: join(BUILD, 'gateway') },
  quick: { type: 'boolean', default: false },
});
const rest = rests();
const seconds = opt.quick ? 1 : Number(opt.seconds);
const rounds = opt.quick ? 1 : Number(opt.rounds);
const MB = 1048576;
const BIG = 10 * MB;
const median = (values) => quantile(values, 0.5);

const KINDS = {
  trip: ['--method', 'Browser.getVersion'],
  'from browser': ['--attach', '--method', 'Runtime.evaluate', '--params', `{"expression":"'x'.repeat(${BIG})","returnByValue":true}`],
  'to browser': ['--attach', '--method', 'Runtime.evaluate', '--params', `{"expression":"'PAD'.length"}`, '--pad', String(BIG)],
};

async function create(plane) {
  const response = await fetch(`http://127.0.0.1:${plane.port}/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"keepAlive":true,"idleTimeoutSec":0}',
  });
  const body = await response.json();
  if (response.status !== 201) throw new Error(`create answered ${response.status}: ${JSON.stringify(body)}`);
  return body;
}

const clients = (plane, urls, args) => measured(plane, [program('cdp_load'), ...args], { input: `${urls.join('\n')}\n\n` });

/** One direct browser and one of Berth's, in turns, so that what the machine does meanwhile falls on all of them alike. */
async function realBrowser() {
  const plane = new ControlPlane();
  const slot = takeSlot();
  const scratch = mkdtempSync(join(tmpdir(), 'berth-bench-browser-'));
  const direct = await launch(findBrowser(), scratch);
  const runs = {};
  try {
    await plane.startRedis();
    await plane.startApi();
    const settings = { BERTH_DRIVER: 'process', BERTH_UID_BASE: slot.uidBase, BERTH_NET: slot.net, BERTH_WORKER_ID: `bench-${process.pid}` };
    await plane.startWorkers({ workers: 1, berths: 1, warm: 1, settings: { ...settings, BERTH_SIM_WORKERS: 1 } });
    const session = await create(plane);
    const routes = {
      direct: direct.wsUrl,
      gateway: session.connectUrl,
      relay: `ws://127.0.0.1:${plane.port}/v1/sessions/${session.id}/cdp`,
    };
    for (let round = 0; round < rounds; round++) {
      for (const [kind, args] of Object.entries(KINDS)) {
        for (const [route, url] of Object.entries(routes)) {
          await rest.pause();
          // A big message takes a while, and only whole ones count.
          const length = kind === 'trip' ? seconds : 4 * seconds;
          const result = await clients(plane, [url], [...args, '--seconds', String(length)]);
          const each = (cpu) => (cpu / Math.max(1, result.trips)) * 1e6;
          ((runs[kind] ??= {})[route] ??= []).push({ ...result, workerUs: each(result.used.worker), apiUs: each(result.used.api) });
        }
      }
    }
  } finally {
    await plane.stop();
    await direct.remove();
    rmSync(scratch, { recursive: true, force: true });
    slot.free();
  }
  return runs;
}

function browserTable(runs) {
  const rows = [];
  for (const [kind, routes] of Object.entries(runs)) {
    const base = median(routes.direct.map((r) => r.trip.p50));
    for (const [route, list] of Object.entries(routes)) {
      const of = (pick) => median(list.map(pick));
      const p50 = of((r) => r.trip.p50);
      rows.push([
        `${kind}, ${route}`,
        p50,
        of((r) => r.trip.p99),
        p50 - base,
        p50 ? (base / p50).toFixed(2) : null,
        kind === 'trip' || !p50 ? null : Math.round((10 * 1e6) / p50),
        Math.round(of((r) => r.workerUs)),
        Math.round(of((r) => r.apiUs)),
        list.reduce((sum, r) => sum + r.trips, 0),
      ]);
    }
  }
  return table(['µs', 'p50', 'p99', 'added', 'direct/this', 'MB/s', 'worker CPU', 'API CPU', 'round trips'], rows);
}

/** So many connections to simulated browsers, at most 50 on each; resolves with the plane, the URLs and an end(). */
async function simulated(connections) {
  const plane = new ControlPlane();
  try {
    await plane.startRedis();
    await plane.startApi();
    const berths = Math.ceil(connections / 50);
    await plane.startWorkers({ workers: 1, berths, warm: berths });
    const sessions = [];
    while (sessions.length < berths) sessions.push((await create(plane)).connectUrl);
    return { plane, urls: Array.from({ length: connections }, (_, i) => sessions[i % berths]) };
  } catch (error) {
    await plane.stop();
    throw error;
  }
}

/** A connection is two descriptors in the worker, and one more is the simulated browser's end. */
function idleCount() {
  const limit = Number(execFileSync('bash', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim()) || Infinity;
  const most = Math.floor((limit - 500) / 3);
  if (most < Number(opt.idle)) console.log(`this machine allows ${limit} descriptors a process: ${most} idle connections instead of ${opt.idle}`);
  return Math.min(opt.quick ? 500 : Number(opt.idle), most);
}

async function idle() {
  const connections = idleCount();
  const { plane, urls } = await simulated(connections);
  try {
    const [worker] = plane.workers;
    const before = memoryKb(worker.pid);
    const child = spawn(program('cdp_load'), ['--idle'], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.write(`${urls.join('\n')}\n\n`);
    for await (const line of createInterface({ input: child.stdout })) if (line === 'connected') break;
    await rest.pause();
    const after = memoryKb(worker.pid);
    const cpu = cpuSeconds(worker.pid);
    const begun = performance.now();
    await new Promise((done) => setTimeout(done, 3000));
    const share = ((cpuSeconds(worker.pid) - cpu) / (performance.now() - begun)) * 1000;
    child.stdin.end();
    await new Promise((done) => child.once('exit', done));
    return { connections, beforeKb: before, afterKb: after, bytesEach: ((after - before) * 1024) / connections, cpuShare: share };
  } finally {
    await plane.stop();
  }
}

async function busy() {
  const { plane, urls } = await simulated(opt.quick ? 100 : Number(opt.busy));
  try {
    await rest.pause();
    const result = await clients(plane, urls, ['--seconds', String(Math.max(2, seconds))]);
    return { ...result, workerUs: (result.used.worker / result.trips) * 1e6 };
  } finally {
    await plane.stop();
  }
}

const result = { machine: machine({ browser: findBrowser() }), seconds, rounds };
result.browser = await realBrowser();
console.log(browserTable(result.browser));
result.idle = await idle();
console.log(`\nidle: ${result.idle.connections} connections, ${Math.round(result.idle.bytesEach)} bytes each (the simulated browser's end included), ${(result.idle.cpuShare * 100).toFixed(1)} % of a core`);
result.busy = await busy();
const { fair, trip } = result.busy;
console.log(`busy: ${result.busy.connections} connections, ${Math.round(result.busy.perSecond)} round trips/s; of each ${fair.min} to ${fair.max}, median ${fair.p50}, Jain ${fair.jain}; p50 ${trip.p50} µs, p99 ${trip.p99} µs; worker ${Math.round(result.busy.workerUs)} µs of CPU each (simulated browsers included)`);
result.others = rest.others();
const rows = Object.entries(result.browser.trip).map(([label, list]) => ({ label, parts: [median(list.map((r) => r.trip.p50))], mark: median(list.map((r) => r.trip.p99)) }));
writeText(join(opt.out, 'gateway.svg'), stackedBars({ title: 'A CDP round trip', unit: 'µs', parts: ['p50'], groups: [{ title: 'Browser.getVersion', rows }], markName: 'p99' }));
writeJson(join(opt.out, 'gateway.json'), result);
console.log(`\nother programs used ${Math.round(result.others * 100)} % of the machine in between; results in ${opt.out}`);
