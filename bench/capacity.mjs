// bench/capacity: what so many concurrent sessions take, from what the other benchmarks have measured.
//
//   make bench-capacity        or: node bench/capacity.mjs [--sessions 1000000] [--seconds 300] [--page-mb 300] … [--results FOLDER]
//
// Reads fleet.json, load.json, gateway.json and memory.json below the build folder (make bench writes them) and prints two tables in
// Markdown: what goes in, each line with where it is from, and what follows. docs/capacity.md explains the arithmetic; every
// assumption there is an option here.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD } from './lib/control_plane.mjs';
import { writeJson } from './lib/json.mjs';
import { readOptions } from './lib/options.mjs';
import { median } from './lib/stats.mjs';

const opt = readOptions(import.meta.url, {
  sessions: { type: 'string', default: '1000000' },
  seconds: { type: 'string', default: '300' }, // a session's mean length
  'kept-hours': { type: 'string', default: '24' }, // how long an ended session is kept (fixed in the scripts)
  waiting: { type: 'string', default: '0.05' }, // share of sessions on which somebody has a long poll
  trips: { type: 'string', default: '5' }, // CDP messages and answers a second and session
  'trip-kb': { type: 'string', default: '2' },
  'page-mb': { type: 'string', default: '300' }, // what a page adds to a browser
  'page-cores': { type: 'string', default: '0.05' }, // what it uses on average
  'host-cores': { type: 'string', default: '64' },
  'host-gb': { type: 'string', default: '512' },
  'cell-gb': { type: 'string', default: '32' },
  'cell-load': { type: 'string', default: '0.5' }, // of Redis' one core
  'api-load': { type: 'string', default: '0.5' }, // of an API's one core
  'host-load': { type: 'string', default: '0.6' }, // of a host's cores
  'memory-load': { type: 'string', default: '0.8' }, // of Redis' and of hosts' memory
  results: { type: 'string', default: BUILD },
  out: { type: 'string', default: join(BUILD, 'capacity') },
});
const given = (name) => Number(opt[name]);
const read = (file) => {
  try {
    return JSON.parse(readFileSync(join(opt.results, file), 'utf8'));
  } catch (error) {
    console.error(`capacity: ${file} is missing (${error.code ?? error.message}): run \`make bench\` first`);
    process.exit(1);
  }
};
const [fleet, load, gateway, memory] = ['fleet/fleet.json', 'load/load.json', 'gateway/gateway.json', 'memory/memory.json'].map(read);

function measuredInputs() {
  const { sessions, workers } = fleet.dimensions;
  const many = sessions.slice(0, -1).at(-1); // the last point repeats the first
  const [few, most] = [workers[0], workers.slice(0, -1).at(-1)];
  const kept = few.memory;
  const relay = gateway.browser.trip;
  const trip = (route, part) => median(relay[route].map((r) => r[part]));
  const api = load.closed.berth.map((r) => (r.used.api / r.lifecycles) * 1e6);
  return {
    redisUs: many.redisUs,
    redisBytes: many.redisBytes ?? 0,
    sessionBytes: many.bytesASession,
    sessionPoint: many.value,
    endedBytes: (kept.session.bytes + kept.sessions.bytes) / kept.session.keys,
    workerUs: ((most.idleRedisShare - few.idleRedisShare) / (most.value - few.value)) * 1e6,
    workersPoint: most.value,
    apiUs: median(api),
    pollBytes: memory.polls.bytesEach,
    pollUs: (memory.polls.cpuShare / memory.polls.number) * 1e6,
    relayUs: trip('relay', 'apiUs'),
    gatewayUs: trip('gateway', 'workerUs'),
    idleBytes: memory.idle.bytesEach,
    browserMb: memory.browser.warmKb / 1024,
    browserCpu: memory.browser.cpuASession,
  };
}

const a = {
  S: given('sessions'), L: given('seconds'), kept: given('kept-hours') * 3600, waiting: given('waiting'), trips: given('trips'),
  tripBytes: given('trip-kb') * 1024, pageMb: given('page-mb'), pageCores: given('page-cores'), cores: given('host-cores'), hostGb: given('host-gb'),
  cellGb: given('cell-gb'), cellLoad: given('cell-load'), apiLoad: given('api-load'), hostLoad: given('host-load'), memoryLoad: given('memory-load'),
};
const m = measuredInputs();

const GB = 2 ** 30;
const rate = a.S / a.L;
const perHostByMemory = (a.hostGb * 1024 * a.memoryLoad) / (m.browserMb + a.pageMb);
const coresASession = a.pageCores + m.browserCpu / a.L + (a.trips * m.gatewayUs) / 1e6;
const perHostByCpu = (a.cores * a.hostLoad) / coresASession;
const perHost = Math.floor(Math.min(perHostByMemory, perHostByCpu, 4096));
const hosts = Math.ceil(a.S / perHost);
const redisSessions = (rate * m.redisUs) / 1e6;
const redisWorkers = (hosts * m.workerUs) / 1e6;
const redisCores = redisSessions + redisWorkers;
const liveBytes = a.S * m.sessionBytes;
const endedBytes = rate * a.kept * m.endedBytes;
const cellsByCpu = Math.ceil(redisCores / a.cellLoad);
const cellsByMemory = Math.ceil((liveBytes + endedBytes) / GB / (a.cellGb * a.memoryLoad));
const apiCores = (rate * m.apiUs) / 1e6 + (a.S * a.waiting * m.pollUs) / 1e6;
const polls = a.S * a.waiting;
const cells = Math.max(cellsByCpu, cellsByMemory);
const apis = Math.max(Math.ceil(apiCores / a.apiLoad), Math.ceil(polls / 10000));
const relayCores = (a.S * a.trips * m.relayUs) / 1e6;
const one = (share) => Math.floor(a.S * share);

const n = (value, digits = 0) => value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
const markdown = (head, rows) => [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

const inputs = [
  ['sessions at once', n(a.S), 'given (`--sessions`)'],
  ['mean length of a session', `${n(a.L)} s`, 'assumed (`--seconds`)'],
  ['an ended session is kept', `${n(a.kept / 3600)} h`, 'fixed in the scripts (`--kept-hours`)'],
  ['Redis CPU of a lifecycle', `${n(m.redisUs)} µs`, `\`make bench-fleet\`, ${n(m.sessionPoint)} live sessions`],
  ['Redis traffic of a lifecycle', `${n(m.redisBytes)} bytes`, 'the same'],
  ['Redis CPU of one worker at rest, a second', `${n(m.workerUs)} µs`, `\`make bench-fleet\`, ${n(m.workersPoint)} workers: heartbeats every 2 s, empty reads`],
  ['Redis memory of a live session', `${n(m.sessionBytes)} bytes`, `\`make bench-fleet\`, ${n(m.sessionPoint)} live sessions`],
  ['Redis memory of an ended session', `${n(m.endedBytes)} bytes`, '`make bench-fleet`, keys after the run'],
  ['API CPU of a lifecycle', `${n(m.apiUs)} µs`, '`make bench-load`, closed loop'],
  ['API memory, CPU a second of a waiting request', `${n(m.pollBytes)} bytes, ${n(m.pollUs, 1)} µs`, '`make bench-memory`'],
  ['sessions on which a request waits', `${n(a.waiting * 100)} %`, 'assumed (`--waiting`)'],
  ['CDP messages with answers, a session and second', `${n(a.trips)} of ${n(a.tripBytes / 1024)} KB`, 'assumed (`--trips`, `--trip-kb`)'],
  ['API CPU of one through the relay', `${n(m.relayUs, 1)} µs`, '`make bench-gateway`'],
  ['worker CPU of one through the gateway', `${n(m.gatewayUs, 1)} µs`, '`make bench-gateway`'],
  ['memory of a browser', `${n(m.browserMb)} MB, its pages ${n(a.pageMb)} MB`, '`make bench-memory`; pages assumed (`--page-mb`)'],
  ['CPU of a browser: its life without pages', `${n(m.browserCpu, 2)} s`, '`make bench-memory`: start, warm-up, one small page'],
  ['… its pages', `${n(a.pageCores, 2)} cores`, 'assumed (`--page-cores`)'],
  ['a host', `${n(a.cores)} cores, ${n(a.hostGb)} GB`, 'assumed (`--host-cores`, `--host-gb`)'],
  ['filled up to', `Redis ${n(a.cellLoad * 100)} %, API ${n(a.apiLoad * 100)} %, hosts ${n(a.hostLoad * 100)} % of CPU; memory ${n(a.memoryLoad * 100)} %`, 'chosen (`--cell-load`, …)'],
  ['memory of a cell', `${n(a.cellGb)} GB`, 'chosen (`--cell-gb`)'],
];
const results = [
  ['creates and ends', `${n(rate)} a second`, 'sessions / length'],
  ['sessions a host, by memory', n(perHostByMemory), 'memory / (browser + pages)'],
  ['sessions a host, by CPU', n(perHostByCpu), 'cores / (pages + life / length + gateway)'],
  ['**hosts**', `**${n(hosts)}** with ${n(perHost)} berths each`, 'the smaller of the two'],
  ['Redis CPU for sessions', `${n(redisSessions, 2)} cores`, 'creates × lifecycle'],
  ['Redis CPU for workers', `${n(redisWorkers, 2)} cores`, 'hosts × one at rest'],
  ['Redis memory, live', `${n(liveBytes / GB, 1)} GB`, 'sessions × bytes'],
  ['Redis memory, ended', `${n(endedBytes / GB, 1)} GB`, 'creates × time kept × bytes'],
  ['cells, by CPU', n(cellsByCpu), 'CPU / filled up to'],
  ['cells, by memory', n(cellsByMemory), 'memory / (a cell × filled up to)'],
  ['**cells**', `**${n(cells)}**`, 'the greater of the two'],
  ['API CPU', `${n(apiCores, 2)} cores`, 'creates × lifecycle + waiting × each'],
  ['API memory of requests that wait', `${n((polls * m.pollBytes) / GB, 2)} GB`, 'sessions × share × bytes'],
  ['**API replicas**, direct CDP', `**${n(Math.max(apis, cells))}**`, 'CPU / filled up to, at most 10,000 that wait each, one a cell at least'],
  ['… more for relayed CDP', n(Math.ceil(relayCores / a.apiLoad)), `${n(relayCores, 1)} cores: sessions × messages × each`],
  ['CDP traffic', `${n((a.S * a.trips * a.tripBytes * 8) / 1e9, 1)} Gbit/s`, 'not through the API when direct'],
  ['… of one host', `${n((perHost * a.trips * a.tripBytes * 8) / 1e6)} Mbit/s`, ''],
  ['Redis traffic', `${n((rate * m.redisBytes * 8) / 1e6)} Mbit/s`, 'creates × bytes'],
  ['one cell carries, by CPU', `${n(one(a.cellLoad / redisCores))} sessions`, 'sessions × filled up to / CPU'],
  ['one cell carries, by memory', `${n(one((a.cellGb * a.memoryLoad * GB) / (liveBytes + endedBytes)))} sessions`, 'sessions × its memory / all memory'],
];
console.log(`${markdown(['goes in', 'value', 'from'], inputs)}\n\n${markdown(['follows', 'value', 'how'], results)}`);
writeJson(join(opt.out, 'capacity.json'), { assumptions: a, measured: m, cells, cellsByCpu, cellsByMemory, apis, hosts, perHost, redisCores, relayCores });
