// From rows to figures: medians and other quantiles a stage, their sums, ratios to the floor; the table, the summary, the plot and
// BrowserArena's own files.
import { join } from 'node:path';
import { round, summary } from '../lib/stats.mjs';
import { table } from '../lib/table.mjs';
import { stackedBars } from '../lib/svg.mjs';
import { writeJson, writeJsonLines, writeText } from '../lib/json.mjs';
import { STAGES, times } from './stages.mjs';

const QUANTILES = ['p50', 'p90', 'p95', 'p99'];

/** One provider's figures at one level. Sums are sums of the stages' quantiles, BrowserArena's score; total is of whole sessions. */
export function figures(rows) {
  const good = rows.filter((row) => row.success).map(times);
  const stages = Object.fromEntries(STAGES.map((stage, i) => [stage, summary(good.map((t) => t[i]))]));
  const sum = Object.fromEntries(QUANTILES.map((q) => [q, round(STAGES.reduce((a, stage) => a + stages[stage][q], 0))]));
  const errors = {};
  for (const row of rows) {
    if (row.success) continue;
    const text = `${row.error_stage}: ${String(row.error_message).split('\n')[0].slice(0, 160)}`;
    errors[text] = (errors[text] ?? 0) + 1;
  }
  return { runs: rows.length, ok: good.length, stages, sum, total: summary(good.map((t) => t.reduce((a, b) => a + b, 0))), errors };
}

/** Adds × floor and the like to a level's providers: { name: figures }. */
export function compare(providers) {
  for (const entry of Object.values(providers)) {
    entry.ratio = {};
    for (const [name, other] of Object.entries(providers)) {
      if (other !== entry && other.ok && entry.ok) entry.ratio[name] = round(entry.sum.p50 / other.sum.p50);
    }
  }
}

const ms = (value) => (value === null || value === undefined || Number.isNaN(value) ? '–' : value.toFixed(value < 10 ? 2 : 1));

export function printLevel(level) {
  const providers = Object.entries(level.providers);
  const head = [`${level.name}, ms`, ...STAGES, 'sum p50', 'sum p95', 'sum p99', '× floor', 'ok'];
  const rows = providers.map(([name, f]) => [
    name,
    ...STAGES.map((stage) => ms(f.stages[stage].p50)),
    ...['p50', 'p95', 'p99'].map((q) => (f.ok ? ms(f.sum[q]) : '–')),
    name === 'floor' ? '1' : (f.ratio.floor?.toFixed(2) ?? '–'),
    `${f.ok}/${f.runs}`,
  ]);
  console.log(`\n${table(head, rows)}`);
  for (const [name, f] of providers) {
    for (const [text, count] of Object.entries(f.errors)) console.log(`  ${name}: ${count} × ${text}`);
    if (f.notes) console.log(`  ${name}: ${f.notes.warm} creates found a warm browser, ${f.notes.cold} did not`);
  }
}

export function plot(summary_) {
  const groups = summary_.levels.map((level) => ({
    title: `${level.name}: ${level.concurrency} at once`,
    rows: Object.entries(level.providers)
      .filter(([, f]) => f.ok > 0)
      .map(([name, f]) => ({
        label: name,
        parts: STAGES.map((stage) => f.stages[stage].p50),
        mark: f.sum.p95,
        note: `${ms(f.sum.p50)} ms${f.ratio.floor ? ` · ${f.ratio.floor.toFixed(2)} × floor` : ''}`,
      })),
  }));
  return stackedBars({ title: "A browser session's four stages, medians", unit: 'ms', parts: STAGES, groups, markName: 'sum of p95' });
}

/** summary.json, arena.svg and, below hello-browser/, what BrowserArena would have written. */
export function writeResults(dir, result, rows) {
  writeJson(join(dir, 'summary.json'), result);
  writeText(join(dir, 'arena.svg'), plot(result));
  const date = result.started_at.slice(0, 10);
  for (const level of result.levels) {
    for (const name of Object.keys(level.providers)) {
      const folder = join(dir, 'hello-browser', name, date);
      writeJson(join(folder, '_meta.json'), {
        region: null,
        instance_type: null,
        cloud: 'local',
        os: `${process.platform} ${process.arch}`,
        node_version: process.version,
        started_at: result.started_at,
        finished_at: result.finished_at,
      });
      writeJsonLines(join(folder, level.name, 'results.jsonl'), rows.get(`${level.name}/${name}`));
    }
  }
}
