// bench/gateway: what the relay of CDP costs.
//
//   make bench-gateway         or: node bench/gateway.mjs [--seconds 3] [--rounds 3] [--idle 10000] [--busy 1000] [--out FOLDER] [--quick]
//
// With a real browser, in turns: straight to a Chromium without Berth (same binary, same flags), through the worker's gateway, and
// through the API's relay and the gateway: round trips of one small command, and 10 MB to and from a page. With simulated
// browsers: memory of the gateway's process with many idle connections (the simulated browsers' ends are in it too), and how
// evenly many busy sessions are served. bench/cdp_load.c is the client.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { takeSlot } from '../test/e2e/host.mjs';
import { findBrowser, launch } from './arena/chromium.mjs';
import { allowed, busy, create, idle } from './lib/connections.mjs';
import { BUILD, ControlPlane, measured, program } from './lib/control_plane.mjs';
import { writeJson, writeText } from './lib/json.mjs';
import { machine } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';
import { rests } from './lib/rest.mjs';
import { median } from './lib/stats.mjs';
import { stackedBars } from './lib/svg.mjs';
import { table } from './lib/table.mjs';

const opt = readOptions(import.meta.url, {
  seconds: { type: 'string', default: '3' },
  rounds: { type: 'string', default: '3' },
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

const KINDS = {
  trip: ['--method', 'Browser.getVersion'],
  'from browser': ['--attach', '--method', 'Runtime.evaluate', '--params', `{"expression":"'x'.repeat(${BIG})","returnByValue":true}`],
  'to browser': ['--attach', '--method', 'Runtime.evaluate', '--params', `{"expression":"'PAD'.length"}`, '--pad', String(BIG)],
};

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

const result = { machine: machine({ browser: findBrowser() }), seconds, rounds };
result.browser = await realBrowser();
console.log(browserTable(result.browser));
result.idle = await idle(allowed(opt.quick ? 400 : Number(opt.idle)), rest);
console.log(`\nidle: ${result.idle.connections} connections, ${Math.round(result.idle.bytesEach)} bytes each (the simulated browser's end included), ${(result.idle.cpuShare * 100).toFixed(1)} % of a core`);
result.busy = await busy(opt.quick ? 100 : Number(opt.busy), seconds, rest);
const { fair, trip } = result.busy;
console.log(`busy: ${result.busy.connections} sessions, ${Math.round(result.busy.perSecond)} round trips/s; of each ${fair.min} to ${fair.max}, median ${fair.p50}, 1 % below ${fair.p1}, 1 % above ${fair.p99}, Jain ${fair.jain}; p50 ${trip.p50} µs, p99 ${trip.p99} µs; worker ${Math.round(result.busy.workerUs)} µs of CPU each (simulated browsers included)`);
result.others = rest.others();
const rows = Object.entries(result.browser.trip).map(([label, list]) => ({ label, parts: [median(list.map((r) => r.trip.p50))], mark: median(list.map((r) => r.trip.p99)) }));
writeText(join(opt.out, 'gateway.svg'), stackedBars({ title: 'A CDP round trip', unit: 'µs', parts: ['p50'], groups: [{ title: 'Browser.getVersion', rows }], markName: 'p99' }));
writeJson(join(opt.out, 'gateway.json'), result);
console.log(`\nother programs used ${Math.round(result.others * 100)} % of the machine in between; results in ${opt.out}`);
