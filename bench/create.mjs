// bench/create: what a warm create costs, on a stack that is already up (`make run`, or any API and Redis).
//
//   node bench/create.mjs --api http://127.0.0.1:3000 --redis redis://… [--runs 200] [--key KEY] [--json FILE]
//
// One keep-alive connection: create, release, wait until the pool is full again, next. Printed are the client's wall time,
// the server's own time (the Server-Timing header's total), and how many commands and scripts Redis carried out for
// a create (differences of INFO commandstats). As a floor, a PING over the same HTTP connection: GET /healthz.
// Nothing here passes or fails by time; it counts and prints.
import http from 'node:http';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const require = createRequire(new URL('../test/package.json', import.meta.url));
const Redis = require('ioredis');

const { values: opt } = parseArgs({
  options: {
    api: { type: 'string', default: process.env.BERTH_API ?? 'http://127.0.0.1:3000' },
    redis: { type: 'string', default: process.env.BERTH_REDIS_URL ?? 'redis://127.0.0.1:6379' },
    runs: { type: 'string', default: '200' },
    warmups: { type: 'string', default: '10' },
    key: { type: 'string', default: process.env.BERTH_API_KEY ?? '' },
    json: { type: 'string' },
  },
});

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const redisUrl = opt.redis.startsWith('unix://') ? opt.redis.slice('unix://'.length).replace(/\?.*/, '') : opt.redis;
const redis = new Redis(redisUrl);

/** One request on the one connection; resolves with status, headers, parsed body and wall milliseconds. */
function call(method, path, body) {
  const started = process.hrtime.bigint();
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = { ...(opt.key && { authorization: `Bearer ${opt.key}` }) };
  if (text !== undefined) Object.assign(headers, { 'content-type': 'application/json', 'content-length': text.length });
  return new Promise((resolve, reject) => {
    const req = http.request(new URL(path, opt.api), { method, agent, headers }, (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('end', () => {
        const ms = Number(process.hrtime.bigint() - started) / 1e6;
        const raw = Buffer.concat(parts).toString();
        resolve({ status: res.statusCode, headers: res.headers, body: raw ? JSON.parse(raw) : null, ms });
      });
    });
    req.on('error', reject);
    req.end(text);
  });
}

/** Commands Redis has carried out so far, by name. */
async function commands() {
  const counts = new Map();
  for (const [, name, calls] of (await redis.info('commandstats')).matchAll(/cmdstat_(\S+?):calls=(\d+)/g)) {
    counts.set(name, Number(calls));
  }
  return counts;
}

function quantile(sorted, q) {
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}

function summary(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  return { p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), p99: quantile(sorted, 0.99), n: sorted.length };
}

/** Waits until the pool is as full as it was at the start and nothing is under way, so that what Redis carries out is the create's. */
async function untilSettled() {
  for (;;) {
    const { berths } = (await call('GET', '/v1/stats')).body;
    if (berths.warm >= target && berths.starting + berths.cleaning === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const target = Math.max(1, (await call('GET', '/v1/stats')).body.berths.warm);
const rows = { floor: [], createWall: [], createServer: [], releaseWall: [], scripts: [] };
const runs = Number(opt.runs);
const warmups = Number(opt.warmups);
for (let i = 0; i < runs + warmups; i++) {
  await untilSettled();
  const floor = await call('GET', '/healthz');
  const before = await commands();
  const created = await call('POST', '/v1/sessions', {});
  const after = await commands();
  if (created.status !== 201) throw new Error(`create answered ${created.status}: ${JSON.stringify(created.body)}`);
  const released = await call('DELETE', `/v1/sessions/${created.body.id}`);
  if (released.status !== 204) throw new Error(`release answered ${released.status}`);
  if (i < warmups) continue;
  const timing = /total;dur=([\d.]+)/.exec(created.headers['server-timing']);
  rows.floor.push(floor.ms);
  rows.createWall.push(created.ms);
  rows.createServer.push(Number(timing[1]));
  rows.releaseWall.push(released.ms);
  rows.scripts.push((after.get('fcall') ?? 0) - (before.get('fcall') ?? 0));
}

const result = Object.fromEntries(Object.entries(rows).map(([name, samples]) => [name, summary(samples)]));
console.log(`warm create and release, ${runs} runs on one keep-alive connection (ms)`);
console.log(`${''.padEnd(34)}${['p50', 'p95', 'p99'].map((h) => h.padStart(9)).join('')}`);
const label = {
  floor: 'GET /healthz, wall (floor)',
  createWall: 'create, wall',
  createServer: 'create, server side',
  releaseWall: 'release, wall',
  scripts: 'scripts run around a create',
};
for (const [name, s] of Object.entries(result)) {
  console.log(`${label[name].padEnd(34)}${[s.p50, s.p95, s.p99].map((v) => v.toFixed(name === 'scripts' ? 0 : 3).padStart(9)).join('')}`);
}
console.log(`create / floor, wall medians: ${(result.createWall.p50 / result.floor.p50).toFixed(2)}`);
if (opt.json) writeFileSync(opt.json, `${JSON.stringify({ runs, result, rows }, null, 1)}\n`);
agent.destroy();
redis.disconnect();
