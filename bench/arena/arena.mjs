// bench/arena: BrowserArena's session lifecycle, for Berth and what else there is to get a browser from, side by side in one run.
// `make bench-arena`, options: --help; method: docs/benchmarks.md. Nothing here passes or fails by time.
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUILD } from '../../test/e2e/harness.mjs';
import { writeJson } from '../lib/json.mjs';
import { machine, quiet } from '../lib/machine.mjs';
import { progress } from '../lib/progress.mjs';
import { round } from '../lib/stats.mjs';
import { startBerth } from './berth.mjs';
import { findBrowser, killAll } from './chromium.mjs';
import { readOptions } from './options.mjs';
import { compare, figures, printLevel, writeResults } from './report.mjs';
import { runSession } from './stages.mjs';
import { Unavailable } from './unavailable.mjs';

const BUSY = 0.05; // other programs' share of the machine beyond which a run's figures are not worth keeping
let interrupted = false;

/** The static page, in a process of its own: url for browsers on the host, jailUrl for those in a berth; ownUrl for the client. */
async function startSite(url) {
  const child = fork(fileURLToPath(new URL('site.mjs', import.meta.url)), { stdio: 'ignore' });
  const { port } = await new Promise((done, failed) => child.once('message', done).once('error', failed));
  const ownUrl = `http://127.0.0.1:${port}/`;
  return {
    url: url ?? ownUrl,
    jailUrl: url ?? `http://host.berth.internal:${port}/`,
    ownUrl,
    agent: new http.Agent({ keepAlive: true, maxSockets: 1 }),
    close: () => child.disconnect(),
  };
}

/** All providers of a level that can take part: [{ name, what, url, create, release, … }]; the others' reasons go to skipped. */
async function openProviders(arena, names, skipped) {
  const open = [];
  try {
    for (const name of names) {
      const module = await import(`./providers/${name}.mjs`);
      try {
        open.push({ name, what: module.what, ...(await module.open(arena)) });
      } catch (error) {
        const reason = error instanceof Unavailable ? error.message : `it did not start: ${error.message}`;
        skipped.set(name, reason);
        console.error(`arena: ${arena.level.name}: skipped ${name}: ${reason}`);
      }
    }
  } catch (error) {
    await closeProviders(open);
    throw error;
  }
  return open;
}

async function closeProviders(providers) {
  for (const provider of providers) {
    try {
      await provider.close?.();
    } catch (error) {
      console.error(`arena: ${provider.name} did not end well: ${error.message}`);
    }
  }
}

/**
 * A few requests of the client to the arena's own page, for every provider alike: after a pause its first call takes a
 * millisecond longer whoever answers, and the harness that this follows does not pause.
 */
async function wakeClient(site) {
  for (let i = 0; i < 5; i++) {
    await new Promise((done, failed) => {
      http.get(site.ownUrl, { agent: site.agent }, (response) => response.resume().once('end', done)).once('error', failed);
    });
  }
}

/** Waits until nothing of this run is at work, and notes how busy other programs keep the machine. */
async function calm(state) {
  const now = await quiet();
  if (!now.quiet) state.restless++;
  state.others.push(now.others);
  await wakeClient(state.site);
}

/** One wave of a provider. settled: nothing else is at work when it begins, and nothing of it when this returns. */
async function wave(provider, n, level, settled, state) {
  if (settled) {
    await provider.prepare?.(n);
    await calm(state);
  }
  const rows = await Promise.all(Array.from({ length: n }, () => runSession(provider, level.concurrency)));
  if (settled) await provider.rest?.();
  return rows;
}

/** Numbers in [0, 1), the same ones in every run (mulberry32). */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The order of things: [[provider, how many waves in a row]…]. Each round is shuffled anew: in a fixed cycle everybody would
 * always come after the same other one, and have its caches or its mess.
 */
function* schedule(providers, waves, block) {
  const next = random(providers.length);
  for (let done = 0; done < waves; done += block) {
    const round = [...providers];
    for (let i = round.length - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [round[i], round[j]] = [round[j], round[i]];
    }
    for (const provider of round) yield [provider, Math.min(block, waves - done)];
  }
}

async function runLevel(level, options, arena, skipped) {
  const settled = options.pace === 'settled';
  const providers = await openProviders(arena, options.providers, skipped);
  const rows = new Map(providers.map((p) => [p.name, []]));
  const state = { site: arena.site, restless: 0, others: [] };
  const failed = new Set();
  /** One provider's failure between sessions (in them it is a row) ends its part, not the run. */
  const guarded = async (provider, work) => {
    if (failed.has(provider)) return;
    try {
      await work();
    } catch (error) {
      failed.add(provider);
      skipped.set(`${provider.name} (${level.name})`, `it failed on the way: ${String(error.message).split('\n')[0]}`);
      console.error(`\narena: ${level.name}: ${provider.name} failed: ${error.stack}`);
    }
  };
  const bar = progress(providers.length * (level.waves + options.warmups));
  let done = 0;
  const report = (provider) => {
    const last = rows.get(provider.name).filter((row) => row.success).slice(-level.concurrency);
    const sum = last.length ? figures(last).sum.p50.toFixed(0) : '–';
    bar.step(++done, `${level.name} ${provider.name} ${sum} ms`);
  };
  try {
    for (const [provider, count] of schedule(providers, options.warmups, settled ? 1 : options.block)) {
      await guarded(provider, async () => {
        for (let i = 0; i < count && !interrupted; i++) {
          await wave(provider, 1, level, settled, state);
          report(provider);
        }
        await provider.rest?.();
      });
    }
    for (const provider of providers) Object.assign(provider.notes?.() ?? {}, { warm: 0, cold: 0 });
    Object.assign(state, { restless: 0, others: [] });
    for (const [provider, count] of schedule(providers, level.waves, settled ? 1 : options.block)) {
      await guarded(provider, async () => {
        if (!settled) {
          await provider.rest?.();
          await calm(state);
        }
        for (let i = 0; i < count && !interrupted; i++) {
          rows.get(provider.name).push(...(await wave(provider, level.concurrency, level, settled, state)));
          report(provider);
        }
      });
    }
  } finally {
    bar.done();
    await closeProviders(providers);
  }
  const ran = providers.filter((p) => rows.get(p.name).length > 0);
  const entries = ran.map((p) => [p.name, { what: p.what, ...(p.version && { version: p.version }), ...figures(rows.get(p.name)), ...(p.notes && { notes: p.notes() }) }]);
  const result = {
    name: level.name,
    concurrency: level.concurrency,
    waves: level.waves,
    pool: level.pool,
    others: round(state.others.reduce((a, b) => a + b, 0) / Math.max(1, state.others.length)),
    restless: state.restless,
    providers: Object.fromEntries(entries),
  };
  compare(result.providers);
  return { result, rows };
}

async function main() {
  const options = readOptions();
  const browser = findBrowser();
  const started = new Date();
  const dir = resolve(options.out ?? join(BUILD, 'arena', started.toISOString().slice(0, 19).replace(/:/g, '-')));
  const scratch = mkdtempSync(join(tmpdir(), 'berth-arena-'));
  const site = await startSite(options.url);
  const skipped = new Map();
  const rows = new Map();
  const summary = {
    benchmark: 'arena',
    command: `bench/arena/run ${process.argv.slice(2).join(' ')}`.trim(),
    pace: options.pace,
    page: options.url ?? 'static, loopback',
    started_at: started.toISOString(),
    finished_at: null,
    machine: machine({ browser }),
    skipped: {},
    levels: [],
  };
  console.error(`arena: ${summary.machine.cores} cores, ${summary.machine.browser}; results in ${dir}`);
  writeJson(join(dir, 'summary.json'), summary);
  try {
    for (const level of options.levels) {
      if (interrupted) break;
      let shared = null;
      const berth = () => (shared ??= startBerth({ pool: level.pool, env: options.env, relay: options.providers.includes('berth-relay') }));
      const arena = { level, pool: level.pool, concurrency: level.concurrency, browser, dir, scratch, site, berth };
      try {
        const { result, rows: levelRows } = await runLevel(level, options, arena, skipped);
        summary.levels.push(result);
        for (const [name, list] of levelRows) rows.set(`${level.name}/${name}`, list);
        printLevel(result);
      } finally {
        const stack = await shared?.catch(() => null);
        await stack?.close();
      }
    }
  } finally {
    await killAll();
    site.close();
    rmSync(scratch, { recursive: true, force: true, maxRetries: 10 });
  }
  summary.finished_at = new Date().toISOString();
  summary.skipped = Object.fromEntries(skipped);
  summary.interrupted = interrupted;
  writeResults(dir, summary, rows);
  finalWords(summary, dir);
}

function finalWords(summary, dir) {
  for (const [name, reason] of Object.entries(summary.skipped)) console.log(`skipped ${name}: ${reason}`);
  for (const level of summary.levels) {
    if (level.others > BUSY) console.log(`${level.name}: other programs used ${(level.others * 100).toFixed(0)} % of the machine: the figures are not solid`);
    if (level.restless) console.log(`${level.name}: ${level.restless} waves began while something of the wave before was still at work`);
  }
  console.log(`summary.json, arena.svg and BrowserArena's files are in ${dir}`);
}

function onSignal() {
  if (interrupted) {
    void killAll().finally(() => process.exit(130));
  } else {
    console.error('\narena: ending after this wave (again: at once)');
    interrupted = true;
  }
}
process.on('SIGINT', onSignal);
process.on('SIGTERM', onSignal);

await main();
process.exit(0);
