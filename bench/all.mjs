// bench/all: every benchmark, one after the other, and the documents' figures from what they say.
//
//   make bench                 or: node bench/all.mjs [--only arena,load,fleet,gateway,memory,net,restore,capacity] [--quick] [--anyway] [--plots] [--report]
//
// First it looks whether the machine is quiet, and stops if other programs use more than 5 % of it (--anyway goes on). What each
// one prints is shown and kept in <build>/<name>/output.txt. --plots copies the plots to docs/plots/; --report also writes the figures
// into README.md, docs/benchmarks.md and docs/capacity.md (bench/report.mjs). About 45 minutes, of which the arena takes 18.
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, ROOT } from './lib/control_plane.mjs';
import { writeText } from './lib/json.mjs';
import { machine, quiet } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';

const ALL = ['arena', 'load', 'fleet', 'gateway', 'memory', 'net', 'restore', 'capacity'];
const BUSY = 0.05;
const opt = readOptions(import.meta.url, {
  only: { type: 'string', default: ALL.join(',') },
  quick: { type: 'boolean', default: false },
  anyway: { type: 'boolean', default: false },
  plots: { type: 'boolean', default: false },
  report: { type: 'boolean', default: false },
});

/** Share of the machine that other programs use, over two seconds. */
async function others() {
  const seen = [];
  while (seen.length < 20) seen.push((await quiet()).others);
  return seen.reduce((a, b) => a + b, 0) / seen.length;
}

function options(name) {
  const own = [];
  if (name === 'arena') own.push('--out', join(BUILD, 'arena/bench'));
  if (opt.quick) own.push(...(name === 'arena' ? ['--levels', 'c1', '--runs', '5'] : name === 'capacity' ? [] : ['--quick']));
  return own.join(' ');
}

function run(name) {
  return new Promise((done) => {
    const make = spawn(process.env.MAKE || 'make', ['--no-print-directory', `BUILD=${process.env.BUILD || 'build'}`, `bench-${name}`, `BENCH=${options(name)}`], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    make.stdout.on('data', (data) => {
      text += data;
      process.stdout.write(data);
    });
    make.once('exit', (code) => {
      writeText(join(BUILD, name, 'output.txt'), text);
      done(code === 0);
    });
  });
}

/** docs/plots/<benchmark>-<plot>.svg; one that is named as its benchmark has that name alone. */
function copyPlots(name) {
  const from = name === 'arena' ? join(BUILD, 'arena/bench') : join(BUILD, name);
  const to = join(ROOT, 'docs/plots');
  mkdirSync(to, { recursive: true });
  for (const file of readdirSync(from).filter((f) => f.endsWith('.svg'))) copyFileSync(join(from, file), join(to, file.startsWith(name) ? file : `${name}-${file}`));
}

const clock = (ms) => `${Math.floor(ms / 60000)}:${String(Math.round(ms / 1000) % 60).padStart(2, '0')}`;
const busy = await others();
const { cores, load } = machine();
console.log(`${cores} cores, load ${load.join(' ')}; other programs use ${(busy * 100).toFixed(1)} % of the machine`);
if (busy > BUSY && !opt.anyway) {
  console.error('bench: the machine is not quiet: the figures would say nothing (--anyway measures all the same)');
  process.exit(1);
}
const begun = performance.now();
const times = [];
for (const name of opt.only.split(',')) {
  console.log(`\n== ${name} ==`);
  const at = performance.now();
  const good = await run(name);
  times.push(`${name} ${clock(performance.now() - at)}${good ? '' : ' (failed)'}`);
  if (!good) process.exitCode = 1;
  if (good && opt.plots && name !== 'memory' && name !== 'capacity') copyPlots(name);
}
if (opt.report) await import('./report.mjs');
console.log(`\ntotal ${clock(performance.now() - begun)}: ${times.join(', ')}`);
