// bench/cost: what one lifecycle (create, release) costs API and worker in system calls and instructions. Counts do not depend on
// how busy the machine is, as times do.
//
//   make bench-cost            or: node bench/cost.mjs [--seconds 3] [--skip strace|callgrind] [--modes 2] [--out FOLDER]
//
// System calls are counted by strace, instructions by callgrind (valgrind), each in a run of its own against a fleet of simulated
// workers: 64 clients in a closed loop, then one, then an open loop at a low rate. Writes cost.json and callgrind's own files, for
// callgrind_annotate. --modes: how many of the three loads callgrind sees. Needs strace and valgrind.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, ControlPlane, measured, program } from './lib/control_plane.mjs';
import { writeJson } from './lib/json.mjs';
import { machine } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';
import { table } from './lib/table.mjs';

const opt = readOptions(import.meta.url, {
  seconds: { type: 'string', default: '3' },
  skip: { type: 'string', default: '' },
  modes: { type: 'string', default: '2' },
  out: { type: 'string', default: join(BUILD, 'cost') },
});
const PROGRAMS = ['berth-api', 'berth-worker'];
const MODES = { '64 lanes': ['--lanes', '64'], '1 lane': ['--lanes', '1'], '300/s': ['--rate', '300', '--connections', '64'] };

const load = (plane, args, seconds) =>
  measured(plane, [program('load'), '--api', `127.0.0.1:${plane.port}`, '--seconds', String(seconds), ...args]);

async function withPlane(wrap, run) {
  const plane = new ControlPlane({ wrap });
  try {
    await plane.startRedis();
    await plane.startApi();
    await plane.startWorkers();
    return await run(plane);
  } finally {
    await plane.stop();
  }
}

const pids = (plane) => ({ 'berth-api': plane.api.pid, 'berth-worker': plane.workers[0].pid });

/** strace -c around a whole run of load: { name: { calls, errors } }. Lifecycles of the warm-up are counted with the rest. */
function counter(pid, file) {
  const child = spawn('strace', ['-c', '-f', '-o', file, '-p', String(pid)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const attached = new Promise((done) => child.stderr.once('data', done));
  const ended = new Promise((done) => child.once('exit', done));
  return {
    attached,
    async stop() {
      child.kill('SIGINT');
      await ended;
      const counts = {};
      for (const line of readFileSync(file, 'utf8').split('\n')) {
        const row = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?(\w+)$/.exec(line);
        if (row && row[3] !== 'total') counts[row[3]] = { calls: Number(row[1]), errors: Number(row[2] ?? 0) };
      }
      return counts;
    },
  };
}

async function systemCalls(plane, args, name) {
  const counters = PROGRAMS.map((p) => counter(pids(plane)[p], join(opt.out, `strace-${p}-${name}.txt`)));
  await Promise.all(counters.map((c) => c.attached));
  const result = await load(plane, [...args, '--warmup', '0'], opt.seconds);
  const [api, worker] = await Promise.all(counters.map((c) => c.stop()));
  return { lifecycles: result.lifecycles, 'berth-api': api, 'berth-worker': worker };
}

function callsTable(runs, which) {
  const per = (run, name) => (run[which][name]?.calls ?? 0) / run.lifecycles;
  const names = [...new Set(Object.values(runs).flatMap((r) => Object.keys(r[which])))];
  const rows = names
    .filter((n) => Object.values(runs).some((r) => per(r, n) >= 0.01))
    .sort((a, b) => per(Object.values(runs).at(-1), b) - per(Object.values(runs).at(-1), a))
    .map((n) => [n, ...Object.values(runs).map((r) => per(r, n).toFixed(2))]);
  const sums = Object.values(runs).map((r) => names.reduce((sum, n) => sum + per(r, n), 0).toFixed(2));
  return table([`${which}: calls a lifecycle`, ...Object.keys(runs)], [...rows, ['all', ...sums]]);
}

/** The instructions a program has run between `begin` and `end` of a load: callgrind counts from zero again at each dump. */
async function instructions(which, args, name) {
  const prefix = join(opt.out, `callgrind-${which}-${name}`);
  for (const old of readdirSync(opt.out)) if (old.startsWith(`callgrind-${which}-${name}`)) rmSync(join(opt.out, old));
  const wrap = { [which]: ['valgrind', '--tool=callgrind', '--compress-strings=no', `--callgrind-out-file=${prefix}.%p`] };
  return withPlane(wrap, async (plane) => {
    const pid = String(pids(plane)[which]);
    await load(plane, [...args, '--warmup', '0'], 2); // connections are open, memory is there
    execFileSync('callgrind_control', ['-z', pid]);
    const result = await load(plane, [...args, '--warmup', '0'], opt.seconds * 2);
    execFileSync('callgrind_control', ['-d', pid]);
    const files = readdirSync(opt.out).filter((f) => f.startsWith(`callgrind-${which}-${name}.${pid}`) && f !== `callgrind-${which}-${name}.${pid}`);
    const file = join(opt.out, files.sort()[0]);
    const total = Number(/^(?:summary|totals): (\d+)/m.exec(readFileSync(file, 'utf8'))[1]);
    return { file, lifecycles: result.lifecycles, instructions: Math.round(total / result.lifecycles) };
  });
}

mkdirSync(opt.out, { recursive: true });
const result = { machine: machine(), calls: {}, instructions: {} };
if (opt.skip !== 'strace') {
  await withPlane({}, async (plane) => {
    for (const [name, args] of Object.entries(MODES)) result.calls[name] = await systemCalls(plane, args, name.replace(/\W+/g, '-'));
  });
  for (const which of PROGRAMS) console.log(`${callsTable(result.calls, which)}\n`);
}
if (opt.skip !== 'callgrind') {
  const rows = [];
  for (const which of PROGRAMS) {
    result.instructions[which] = {};
    for (const [name, args] of Object.entries(MODES).slice(0, Number(opt.modes))) {
      const run = await instructions(which, args, name.replace(/\W+/g, '-'));
      result.instructions[which][name] = run;
      rows.push([which, name, run.lifecycles, run.instructions, run.file]);
    }
  }
  console.log(table(['instructions a lifecycle', 'load', 'lifecycles', 'instructions', 'file'], rows));
}
writeJson(join(opt.out, 'cost.json'), result);
