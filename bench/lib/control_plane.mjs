// A control plane for measurements: a private Redis on a unix socket, one API, simulated workers; what they have used of the CPU,
// and what Redis has carried out. End it with stop(). BERTH_BUILD names the build folder (default: build).
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program, waitFor } from '../../test/e2e/program.mjs';

const { Redis } = createRequire(new URL('../../test/package.json', import.meta.url))('ioredis');
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const BUILD = resolve(ROOT, process.env.BERTH_BUILD || 'build');
const LISTENING = /\blistening\b.*?\bport["=:\s]+(\d+)/;

function environment(settings) {
  const env = {};
  for (const [name, value] of Object.entries(process.env)) if (!/^(BERTH|NODE)_/.test(name)) env[name] = value;
  for (const [name, value] of Object.entries(settings)) env[name] = String(value);
  return env;
}

/** Seconds of CPU that all threads of a process have used; 0 once it is gone. */
export function cpuSeconds(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, tid) => {
      return sum + Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
    }, 0);
  } catch {
    return 0;
  }
}

/** Kilobytes of memory that are the process's own (anonymous, resident). */
export function memoryKb(pid) {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

/** INFO as an object; commandstats become { name: { calls, usec } } under `commands`. */
async function redisInfo(redis, sections = 'everything') {
  const info = { commands: {} };
  for (const line of (await redis.info(sections)).split(/\r?\n/)) {
    const stat = /^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/.exec(line);
    const pair = /^([a-z0-9_]+):([-\d.]+)$/.exec(line);
    if (stat) info.commands[stat[1]] = { calls: Number(stat[2]), usec: Number(stat[3]) };
    else if (pair) info[pair[1]] = Number(pair[2]);
  }
  return info;
}

const living = new Set();

/** Ctrl-C and SIGTERM end what was started, too. */
function onSignal() {
  Promise.all([...living].map((plane) => plane.stop())).finally(() => process.exit(130));
}

/** Calls of scripts among commandstats, whichever command calls them: { calls, usec }. */
export function scriptCalls(commands) {
  const all = ['evalsha', 'eval', 'fcall'].map((name) => commands[name] ?? { calls: 0, usec: 0 });
  return { calls: all.reduce((sum, c) => sum + c.calls, 0), usec: all.reduce((sum, c) => sum + c.usec, 0) };
}

export class ControlPlane {
  /** wrap: what to run a program with, by its name (`berth-api`, `berth-worker`): valgrind and its options, say. */
  constructor({ cell = 'c0', wrap = {} } = {}) {
    this.cell = cell;
    this.wrap = wrap;
    this.dir = mkdtempSync(join(tmpdir(), 'berth-bench-'));
    this.socket = join(this.dir, 'redis.sock');
    this.redisUrl = `unix://${this.socket}`;
    this.programs = [];
    this.workers = [];
    if (living.size === 0) for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, onSignal);
    living.add(this);
  }

  #spawn(name, command, settings) {
    const options = { env: environment(settings), cwd: this.dir, logFile: join(this.dir, `${name}.log`) };
    const program = new Program(name, command, options);
    this.programs.push(program);
    return program;
  }

  #command(name) {
    return [...(this.wrap[name] ?? []), join(BUILD, name)];
  }

  key(rest) {
    return `berth:{${this.cell}}:${rest}`;
  }

  async startRedis(args = []) {
    mkdirSync(join(this.dir, 'redis'), { recursive: true });
    const fixed = ['--port', '0', '--unixsocket', this.socket, '--dir', join(this.dir, 'redis'), '--save', '', '--appendonly', 'no'];
    // As scripts/run and compose/ start it.
    fixed.push('--hash-max-listpack-entries', '32', '--hash-max-listpack-value', '1024');
    this.redisProgram = this.#spawn('redis', ['redis-server', ...fixed, ...args], {});
    await this.redisProgram.line(/Ready to accept connections/i);
    this.redis = new Redis({ path: this.socket });
  }

  async startApi(settings = {}) {
    const own = { BERTH_REDIS_URL: this.redisUrl, BERTH_CELL: this.cell, BERTH_LISTEN: '127.0.0.1:0', BERTH_LOG_LEVEL: 'warn' };
    // Its log goes straight to a file: read here, each line would wake this program, which takes a core's share from what is measured.
    const log = join(this.dir, 'api.txt');
    const command = ['sh', '-c', 'log=$1; shift; exec "$@" >>"$log" 2>&1', 'sh', log, ...this.#command('berth-api')];
    this.api = this.#spawn('api', command, { ...own, BERTH_LOG_LEVEL: 'info', ...settings });
    const listening = () => {
      const text = existsSync(log) ? readFileSync(log, 'utf8') : '';
      if (!this.api.running) throw Object.assign(new Error(`the API ended\n${text}`), { final: true });
      return LISTENING.exec(text);
    };
    this.port = Number((await waitFor(listening, { what: "the API's port" }))[1]);
    await waitFor(async () => (await fetch(`http://127.0.0.1:${this.port}/readyz`)).ok, { what: 'the API' });
  }

  /** One process of `workers` simulated workers with `berths` each, all warm; or with settings of its own. */
  async startWorkers({ workers = 8, berths = 64, warm = berths, settings = {} } = {}) {
    const id = `w${this.workers.length}`;
    const worker = this.#spawn(id, this.#command('berth-worker'), {
      BERTH_REDIS_URL: this.redisUrl,
      BERTH_CELL: this.cell,
      BERTH_WORKER_ID: id,
      BERTH_DRIVER: 'sim',
      BERTH_SIM_WORKERS: workers,
      BERTH_SIM_START: 0,
      BERTH_BERTHS: berths,
      BERTH_WARM: warm,
      // All at once where that is few: each start takes descriptors for a moment.
      BERTH_START_PARALLEL: Math.max(1, Math.min(warm, Math.floor(4000 / workers))),
      BERTH_PRESSURE_CPU: 1000,
      BERTH_PRESSURE_MEM: 100,
      BERTH_GATEWAY_LISTEN: '127.0.0.1:0',
      BERTH_DRAIN_TIMEOUT: 0,
      BERTH_LOG_LEVEL: 'warn',
      ...settings,
    });
    this.workers.push(worker);
    const before = await this.redis.zcard(this.key('warm:default'));
    const enough = async () => {
      if (!worker.running) throw Object.assign(new Error(`the worker ended\n${worker.tail(20)}`), { final: true });
      if ((await this.redis.zcard(this.key('workers'))) < workers) return false;
      return (await this.redis.zcard(this.key('warm:default'))) - before >= workers * warm;
    };
    await waitFor(enough, { timeout: 120000, every: 50, what: `${workers} workers` });
    return worker;
  }

  /** Calls one of lua/: its reply. now is Redis' clock. */
  call(name, args) {
    this.library ??= /^#!lua name=(\S+)/.exec(readFileSync(join(BUILD, 'scripts_library.lua'), 'utf8'))[1];
    return this.redis.fcall(`${this.library}_${name}`, 1, `berth:{${this.cell}}`, '0', ...args);
  }

  /** Calls one of lua/ alone: { us, reply }, us: Redis' own time for it. now is Redis' clock. */
  async script(name, ...args) {
    const before = scriptCalls((await redisInfo(this.redis, 'commandstats')).commands);
    const reply = await this.call(name, args);
    const after = scriptCalls((await redisInfo(this.redis, 'commandstats')).commands);
    return { us: (after.usec - before.usec) / Math.max(1, after.calls - before.calls), reply };
  }

  /** What has been used so far; difference() of two tells what a run has cost. */
  async reading() {
    const info = await redisInfo(this.redis);
    return {
      at: performance.now(),
      redis: cpuSeconds(this.redisProgram.pid),
      api: this.api ? cpuSeconds(this.api.pid) : 0,
      worker: this.workers.reduce((sum, w) => sum + cpuSeconds(w.pid), 0),
      commands: info.commands,
      memory: info.used_memory,
      net: info.total_net_input_bytes + info.total_net_output_bytes,
    };
  }

  async stop() {
    living.delete(this);
    if (living.size === 0) for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, onSignal);
    this.redis?.disconnect();
    for (const program of this.programs.reverse()) await program.end(15000);
    if (!process.env.BERTH_KEEP) rmSync(this.dir, { recursive: true, force: true });
  }
}

/** What happened between two readings: seconds, CPU seconds, bytes from and to Redis, commands { name: { calls, usec } }. */
export function difference(from, to) {
  const commands = {};
  for (const [name, { calls, usec }] of Object.entries(to.commands)) {
    const before = from.commands[name] ?? { calls: 0, usec: 0 };
    if (calls > before.calls) commands[name] = { calls: calls - before.calls, usec: usec - before.usec };
  }
  const grown = (name) => to[name] - from[name];
  return { seconds: (to.at - from.at) / 1000, redis: grown('redis'), api: grown('api'), worker: grown('worker'), net: grown('net'), commands };
}

/**
 * Runs one of bench/'s programs, or a script, that prints `begin`, `end` and a line of JSON. Resolves with that line's value; its
 * `used` is what reading() tells of the time between, and `own` its own CPU seconds. input: for its standard input.
 */
export async function measured(plane, command, { env = process.env, input = '' } = {}) {
  const child = spawn(command[0], command.slice(1), { env, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  const ended = new Promise((done, failed) => {
    child.once('error', failed);
    child.once('exit', (code, signal) => (code === 0 ? done() : failed(new Error(`${command[0]} ended with ${signal ?? code}`))));
  });
  ended.catch(() => {});
  const marks = {};
  let result;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'begin' || line === 'end') marks[line] ??= plane.reading().then((r) => ({ ...r, own: cpuSeconds(child.pid) }));
    else if (line.startsWith('{')) result = JSON.parse(line);
  }
  await ended;
  if (!marks.begin || !marks.end || !result) throw new Error(`${command.join(' ')} printed no result`);
  const [from, to] = [await marks.begin, await marks.end];
  return { ...result, used: difference(from, to), own: Math.max(0, to.own - from.own) };
}

export const program = (name) => join(BUILD, 'bench', name);
