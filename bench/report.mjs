// bench/report: writes what the benchmarks have said into README.md, docs/benchmarks.md and docs/capacity.md.
//
//   node bench/report.mjs      (make bench BENCH=--report calls it)
//
// A document has places `<!-- figures:NAME -->` … `<!-- /figures -->`; what is between them is replaced: by what benchmark NAME
// printed (<build>/NAME/output.txt) and its plots in docs/plots/, and `short` by a short table. A benchmark that has not run leaves its place as it is.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, ROOT } from './lib/control_plane.mjs';
import { writeText } from './lib/json.mjs';
import { median } from './lib/stats.mjs';

const FILES = ['README.md', 'docs/benchmarks.md', 'docs/capacity.md'];
const RESULTS = { arena: 'arena/bench/summary.json', load: 'load/load.json', fleet: 'fleet/fleet.json', gateway: 'gateway/gateway.json', memory: 'memory/memory.json', net: 'net/net.json', restore: 'restore/restore.json' };
const path = (name) => join(BUILD, name);
const json = (name) => (existsSync(path(RESULTS[name])) ? JSON.parse(readFileSync(path(RESULTS[name]), 'utf8')) : null);

/** The machine, and how quiet it was, in one line. */
function machineLine(name) {
  const result = json(name);
  const { machine: m } = result;
  const levels = result.levels?.map((level) => level.others ?? 0) ?? [];
  const others = result.others ?? levels.reduce((a, b) => a + b, 0) / Math.max(1, levels.length);
  const day = statSync(path(RESULTS[name])).mtime.toISOString().slice(0, 10);
  const with_ = [`Redis ${m.redis}`, m.browser].filter(Boolean).join(', ');
  return `${day}; ${m.cpu}, ${m.cores} cores, ${m.memoryGb} GB, Linux ${m.kernel}, ${with_}; other programs used ${(others * 100).toFixed(1)} % of the machine.`;
}

/** The plots of a benchmark that bench/all.mjs --plots has copied. */
function plots(name) {
  const dir = join(ROOT, 'docs/plots');
  const files = existsSync(dir) ? readdirSync(dir).filter((file) => file.startsWith(name) && file.endsWith('.svg')).sort() : [];
  return files.map((file) => `![${file.slice(0, -4)}](plots/${file})`);
}

/** What a benchmark printed, without what make says and the lines that name folders of this machine. */
function output(name) {
  const file = path(`${name}/output.txt`);
  if (!existsSync(file)) return null;
  const text = readFileSync(file, 'utf8').split('\n').filter((line) => !line.includes(BUILD) && !/results in |^make|^ *[A-Z]{2,5} +\S+$/.test(line)).join('\n').trim();
  if (name === 'capacity') return text;
  return [machineLine(name), `\`\`\`text\n${text}\n\`\`\``, ...plots(name)].join('\n\n');
}

const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const times = (value) => `${value.toFixed(2)} ×`;

function arenaRows(summary) {
  const c1 = summary?.levels.find((level) => level.name === 'c1');
  const berth = c1?.providers.berth;
  if (!berth?.ok) return [];
  const peers = Object.entries(berth.ratio).map(([name, ratio]) => `${times(ratio)} ${name}`);
  const { create, release } = berth.stages;
  return [
    ['a session: create, connect, goto, release; sum of medians', `${ms(berth.sum.p50)} (${peers.join(', ')})`, 'arena'],
    ['… its create, its release', `${ms(create.p50)}, ${ms(release.p50)}`, 'arena'],
  ];
}

function loadRows(load) {
  if (!load) return [];
  const rate = (name) => median(load.closed[name].map((r) => r.perSecond));
  const bullmq = load.closed.bullmq.length ? `, ${times(rate('berth') / rate('bullmq'))} BullMQ` : '';
  const half = load.open.find((s) => s.share === 0.5)?.create;
  return [
    ['lifecycles a second, one API, one Redis', `${Math.round(rate('berth'))} (${times(rate('berth') / rate('floor'))} the bare scripts${bullmq})`, 'load'],
    ['create at half of that: p99 / p50', (half.p99 / half.p50).toFixed(1), 'load'],
  ];
}

function fleetRows(fleet) {
  const curve = (name) => fleet?.dimensions[name]?.slice(0, -1);
  const rows = [];
  for (const [name, text] of [['workers', '1,000 workers against 10'], ['sessions', '100,000 live sessions against 100']]) {
    if (!curve(name)) continue;
    const [first, last] = [curve(name)[0], curve(name).at(-1)];
    rows.push([`create p50 with ${text}`, times(last.create.p50 / first.create.p50), 'fleet']);
  }
  if (curve('sessions')) rows.push(['Redis memory of a live session', `${Math.round(curve('sessions').at(-1).bytesASession).toLocaleString('en')} bytes`, 'fleet']);
  return rows;
}

function gatewayRows(gateway) {
  if (!gateway) return [];
  const p50 = (kind, route) => median(gateway.browser[kind][route].map((r) => r.trip.p50));
  const big = ['from browser', 'to browser'].map((kind) => times(p50(kind, 'direct') / p50(kind, 'gateway')));
  return [
    ['the gateway adds to a CDP round trip', `${p50('trip', 'gateway') - p50('trip', 'direct')} µs`, 'gateway'],
    ['10 MB from and to a page, speed against direct', big.join(', '), 'gateway'],
    [`fairness of ${gateway.busy.connections.toLocaleString('en')} busy sessions (Jain)`, gateway.busy.fair.jain.toFixed(4), 'gateway'],
  ];
}

function memoryRows(memory) {
  if (!memory) return [];
  const mb = (kb) => `${Math.round(kb / 1024)} MB`;
  return [
    [`API with ${memory.polls.number.toLocaleString('en')} waiting long polls`, mb(memory.polls.kb), 'memory'],
    [`worker with ${memory.worker.berths} simulated berths`, mb(memory.worker.takenKb), 'memory'],
    ['gateway, an idle connection', `${(memory.idle.bytesEach / 1024).toFixed(1)} KB`, 'memory'],
  ];
}

function netRows(net) {
  if (!net) return [];
  const of = (step, way = 'berth') => net.steps.find((s) => s.step === step && (s.way ?? 'berth') === way)?.us.p50;
  const ip = of('namespace made', 'ip');
  return [
    ["a berth's network: taken from the pool, emptied after a session", `${of('taken, as it is')} µs, ${ms(of('emptied, with connections') / 1000)}`, 'net'],
    ...(ip ? [['a network namespace made', `${ms(of('namespace made') / 1000)} (${times(of('namespace made') / ip)} ip)`, 'net']] : []),
  ];
}

function restoreRows(restore) {
  if (!restore) return [];
  const of = (name, value) => median(restore.kinds.find((kind) => kind.name === name).rows.map(value));
  const total = (name) => of(name, (row) => row.totalMs);
  const jail = restore.kinds.some(({ name }) => name === 'start') ? `, ${times(total('exec') / total('start'))} a browser started in a jail` : '';
  return [
    ['a microVM restored, from nothing to CDP', `${ms(total('exec'))} (${restore.options.accel}${jail})`, 'restore'],
    ['… a paused clone, claimed, to CDP', ms(of('paused', (row) => row.answered)), 'restore'],
  ];
}

const ROWS = { arena: arenaRows, load: loadRows, fleet: fleetRows, gateway: gatewayRows, memory: memoryRows, net: netRows, restore: restoreRows };

/** Rows of a benchmark that has not run stay as they stand in the table. */
function shortTable(present) {
  const lines = Object.entries(ROWS).flatMap(([name, rows]) => {
    const new_ = rows(json(name)).map(([what, figure]) => `| ${what} | ${figure} | \`make bench-${name}\` |`);
    return new_.length ? new_ : present.split('\n').filter((line) => line.endsWith(`| \`make bench-${name}\` |`));
  });
  return lines.length ? ['| what | figure | command |', '|---|---|---|', ...lines].join('\n') : null;
}

for (const file of FILES) {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const filled = text.replace(/(<!-- figures:([a-z]+) -->\n)([^]*?)(<!-- \/figures -->)/g, (all, begin, name, present, end) => {
    const figures = name === 'short' ? shortTable(present) : output(name);
    return figures === null ? all : `${begin}${figures}\n${end}`;
  });
  if (filled !== text) writeText(join(ROOT, file), filled);
  console.log(`${file}: ${filled === text ? 'as it was' : 'written'}`);
}
