// Starts a private Redis, APIs and workers for one test; ends them TERM then KILL; prints their logs when the test failed; and
// checks after each test that nothing was left: no process (zombies too), namespace, interface, nft rule, cgroup, mount,
// and that `audit` finds nothing.
//
//   const stack = await startStack(t, { apis: 1, workers: [{ env: { BERTH_DRIVER: 'sim' } }], redis: { aof: true }, env: {} });
//   stack.url                 base URL of the first API            stack.apis[i] (also stack.api[i])  url, port, pid, kill(), …
//   stack.workers[i]          id, pid, gateway, kill(), restart()  stack.redis     an ioredis client   stack.redisServer
//   stack.request(m, path, body, headers)                          stack.script(name, ...args)        stack.audit()
//
// BERTH_BUILD names the build folder (default: build).
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, mkdirSync } from 'node:fs';
import { join, resolve, dirname } from 'node:path';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { after, afterEach } from 'node:test';
import { Redis } from 'ioredis';
import { Program, pause, waitFor } from './program.mjs';
import { takeSlot, descendants, leftProcesses } from './host.mjs';
import { leftThings } from './inventory.mjs';

export { pause, waitFor };
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const BUILD = resolve(ROOT, process.env.BERTH_BUILD || 'build');
const SANITIZER_TROUBLE = /AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:/;
const LISTENING = /\blistening\b.*?\bport["=:\s]+(\d+)/;
let counter = 0;

/** The environment that programs get: ours without any BERTH_ setting, then what the test says. */
function environment(...settings) {
  const env = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!name.startsWith('BERTH_') && !name.startsWith('NODE_')) env[name] = value;
  }
  for (const more of settings) {
    for (const [name, value] of Object.entries(more ?? {})) {
      if (value === undefined || value === null) delete env[name];
      else env[name] = String(value);
    }
  }
  return env;
}

/** A part of the stack that can be ended, killed and started again. */
class Part {
  constructor(stack, name) {
    this.stack = stack;
    this.name = name;
    this.program = null;
  }

  get pid() {
    return this.program.pid;
  }

  get running() {
    return this.program !== null && this.program.running;
  }

  get log() {
    return this.program.lines;
  }

  spawn(command, env) {
    this.program = new Program(this.name, command, {
      env,
      cwd: this.stack.dir,
      logFile: join(this.stack.dir, `${this.name}.log`),
    });
    this.stack.programs.push(this.program);
    return this.program;
  }

  /** Resolves with the first match of pattern in its log, past or to come. */
  logged(pattern, timeout) {
    return this.program.line(pattern, timeout);
  }

  signal(name) {
    this.program.signal(name);
  }

  kill() {
    return this.program.kill();
  }

  /** SIGTERM and wait; { code, signal, forced }. */
  term(grace) {
    return this.program.end(grace);
  }

  async restart() {
    if (this.running) await this.term();
    await this.start();
  }
}

class RedisServer extends Part {
  constructor(stack, { aof = false } = {}) {
    super(stack, 'redis');
    this.socket = join(stack.dir, 'redis.sock');
    this.url = `unix://${this.socket}`;
    this.aof = aof;
  }

  async start() {
    const dir = join(this.stack.dir, 'redis');
    mkdirSync(dir, { recursive: true });
    const args = ['--port', '0', '--unixsocket', this.socket, '--dir', dir, '--save', '', '--daemonize', 'no'];
    // Always: after kill -9 every answered command is in the file. Benchmarks ask for 'everysec', Redis' own default.
    args.push('--appendonly', this.aof ? 'yes' : 'no', '--appendfsync', this.aof === true ? 'always' : this.aof || 'no');
    this.spawn(['redis-server', ...args], environment());
    await this.program.line(/Ready to accept connections/i);
  }

  /** Remembers what it holds now, for forget(). */
  remember() {
    cpSync(join(this.stack.dir, 'redis'), join(this.stack.dir, 'redis-then'), { recursive: true });
  }

  /** kill -9, and it comes back as it was at remember(), or empty where that was never called: as after a failover. */
  async forget() {
    await this.kill();
    const [now, then] = ['redis', 'redis-then'].map((name) => join(this.stack.dir, name));
    rmSync(now, { recursive: true });
    if (existsSync(then)) renameSync(then, now);
    await this.start();
  }
}

class Api extends Part {
  constructor(stack, index, env) {
    super(stack, `api${index}`);
    this.env = env;
    this.port = 0;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    const { stack } = this;
    const env = environment(
      { BERTH_REDIS_URL: stack.redisServer.url, BERTH_API_DRAIN: '2s' },
      stack.env,
      this.env,
    );
    // A restart keeps the port, as a service behind a fixed address would.
    if (this.port || !env.BERTH_LISTEN) env.BERTH_LISTEN = `127.0.0.1:${this.port}`;
    this.spawn([join(BUILD, 'berth-api')], env);
    this.port = Number((await this.program.line(LISTENING))[1]);
  }

  async ready(timeout = 90000) {
    await waitFor(async () => (await fetch(`${this.url}/readyz`)).ok, { timeout, what: `${this.name} /readyz` });
  }
}

class Worker extends Part {
  constructor(stack, index, { env, prefix = [], id, program, traces } = {}) {
    super(stack, `worker${index}`);
    this.id = id ?? env?.BERTH_WORKER_ID ?? `e${process.pid}-${++counter}`;
    this.prefix = prefix; // for example ['setpriv', '--reuid', '1000', …]
    this.file = program ?? join(BUILD, 'berth-worker');
    this.env = env ?? {};
    this.slot = takeSlot();
    this.port = 0;
    this.seen = new Map(); // every descendant ever noticed
    this.traces = traces; // where else its driver leaves something: leftThings' options
  }

  get settings() {
    return environment(
      {
        BERTH_REDIS_URL: this.stack.redisServer.url,
        BERTH_WORKER_ID: this.id,
        BERTH_DRIVER: 'sim',
        BERTH_BERTHS: 4,
        BERTH_WARM: 2,
        BERTH_GATEWAY_LISTEN: `127.0.0.1:${this.port}`,
        BERTH_DRAIN_TIMEOUT: '1s',
        BERTH_PRESSURE_CPU: 1000, // the host has other things to do as well
        BERTH_PRESSURE_MEM: 100,
        BERTH_UID_BASE: this.slot.uidBase,
        BERTH_NET: this.slot.net,
      },
      this.stack.env,
      this.env,
      this.port ? { BERTH_GATEWAY_LISTEN: `127.0.0.1:${this.port}` } : {},
    );
  }

  get gateway() {
    return `127.0.0.1:${this.port}`;
  }

  async start() {
    this.spawn([...this.prefix, this.file], this.settings);
    this.port = Number((await this.program.line(LISTENING, 120000))[1]);
  }

  /** Its hash in Redis, or null; with several simulated workers in one process, the first one's. */
  async record() {
    const ids = [this.id, ...(await this.stack.redis.zrange(this.stack.key('workers'), 0, -1)).filter((id) => id.startsWith(this.id))];
    for (const id of ids) {
      const hash = await this.stack.redis.hgetall(this.stack.key(`worker:${id}`));
      if (hash.id || hash.state) return hash;
    }
    return null;
  }

  /** Registered, with as many warm berths as it keeps. */
  async ready({ warm, timeout = 120000 } = {}) {
    const { BERTH_WARM, BERTH_BERTHS } = this.settings;
    const want = warm ?? Math.min(Number(BERTH_WARM), Number(BERTH_BERTHS));
    await waitFor(
      async () => {
        if (!this.running) throw Object.assign(new Error(`${this.name} ended\n${this.program.tail(30)}`), { final: true });
        const record = await this.record();
        return record && record.state === 'ready' && Number(record.warm) >= want;
      },
      { timeout, what: `${want} warm browsers of ${this.name}` },
    );
  }

  /** Remembers the processes below it now; kill() and term() do so themselves. */
  look() {
    if (this.running) for (const p of descendants(this.pid)) this.seen.set(`${p.pid}/${p.start}`, p);
    return [...this.seen.values()];
  }

  kill() {
    this.look();
    return super.kill();
  }

  term(grace) {
    this.look();
    return super.term(grace);
  }

  /** What it left; waits up to timeout for the kernel and for init to clear up. */
  async left({ things = true, timeout = 60000 } = {}) {
    let left = [];
    const look = async () => {
      left = leftProcesses(this.slot, this.look());
      if (things) left.push(...(await leftThings(this.slot, this.id, this.traces)));
      return left.length === 0;
    };
    await waitFor(look, { timeout, every: 50 }).catch(() => {});
    return left;
  }
}

class Stack {
  constructor(options) {
    this.dir = mkdtempSync(join(tmpdir(), 'berth-e2e-'));
    this.env = options.env ?? {};
    this.cell = this.env.BERTH_CELL ?? 'c0';
    this.programs = [];
    this.problems = [];
    this.redisServer = new RedisServer(this, options.redis);
    this.apis = Array.from({ length: options.apis ?? 1 }, (_, i) => new Api(this, i, options.api?.env));
    this.api = this.apis;
    this.workers = (options.workers ?? [{}]).map((w, i) => new Worker(this, i, w));
  }

  get url() {
    return this.apis[0].url;
  }

  key(rest) {
    return `berth:{${this.cell}}:${rest}`;
  }

  async start({ wait = true } = {}) {
    await this.redisServer.start();
    this.redis = new Redis({ path: this.redisServer.socket, retryStrategy: () => 50, maxRetriesPerRequest: null });
    this.redis.on('error', () => {}); // tests kill Redis; commands wait for its return
    await Promise.all([...this.apis, ...this.workers].map((part) => part.start()));
    if (!wait) return;
    await Promise.all(this.workers.map((worker) => worker.ready()));
    await Promise.all(this.apis.map((api) => api.ready()));
  }

  /** ready: what its ready() gets. */
  async addWorker({ ready, ...options } = {}) {
    const worker = new Worker(this, this.workers.length, options);
    this.workers.push(worker);
    await worker.start();
    await worker.ready(ready);
    return worker;
  }

  async addApi(env) {
    const api = new Api(this, this.apis.length, env);
    this.apis.push(api);
    await api.start();
    await api.ready();
    return api;
  }

  /** Any request to the first API: { status, headers, body (parsed JSON where it is JSON), text }. */
  async request(method, path, body, headers = {}, options = {}) {
    const response = await fetch(new URL(path, options.url ?? this.url), {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
      signal: options.signal,
    });
    const text = await response.text();
    let parsed;
    try {
      parsed = JSON.parse(text);
    } catch {
      parsed = undefined;
    }
    return { status: response.status, headers: response.headers, body: parsed, text };
  }

  /** One of lua/, as assembled by the build, with Redis' own clock. */
  async script(name, ...args) {
    this.library ??= readFileSync(join(BUILD, 'scripts_library.lua'), 'utf8');
    const library = /^#!lua name=(\S+)/.exec(this.library)[1];
    const call = () => this.redis.fcall(`${library}_${name}`, 1, `berth:{${this.cell}}`, '0', ...args.map(String));
    try {
      return await call();
    } catch (error) {
      if (!/Function not found/.test(error.message)) throw error; // nobody has called one yet, or Redis came back empty
      await this.redis.call('FUNCTION', 'LOAD', 'REPLACE', this.library);
      return call();
    }
  }

  /** All findings of a whole audit. */
  async audit() {
    const findings = [];
    let cursor = '0';
    do {
      const [code, next, , found] = await this.script('audit', cursor, 100);
      if (code !== 'ok') throw new Error(`audit answered ${code}`);
      findings.push(...(found ?? []));
      cursor = String(next);
    } while (cursor !== '0');
    return findings;
  }

  session(id) {
    return this.redis.hgetall(this.key(`session:${id}`));
  }

  /** Ids of the sessions of a project in a state, oldest first. */
  sessions(state, project = 'default') {
    return this.redis.zrange(this.key(`sessions:${project}:${state}`), 0, -1);
  }

  /** Ends everything and checks; problems are thrown as one error. */
  async stop({ check = true } = {}) {
    if (this.stopped) return;
    this.stopped = true;
    const problem = (text) => this.problems.push(text);
    try {
      if (!this.redisServer.running) await this.redisServer.start();
      if (check) await this.#stopWorkers(problem);
      else await Promise.all(this.workers.map((w) => w.running && w.kill()));
      if (check) await this.#audit(problem);
      for (const api of this.apis) await this.#end(api, problem);
    } catch (error) {
      problem(`while stopping: ${error.message}`);
    } finally {
      for (const program of this.programs) if (program.running && program !== this.redisServer.program) await program.kill();
      this.redis?.disconnect();
      if (this.redisServer.program) await this.redisServer.term(30000);
      for (const worker of this.workers) worker.slot.free();
    }
    for (const program of this.programs) {
      const line = program.lines.find((l) => SANITIZER_TROUBLE.test(l));
      if (line) problem(`${program.name}: ${line}`);
    }
    if (check && this.problems.length) throw new Error(`after the test:\n  ${this.problems.join('\n  ')}`);
  }

  async #end(part, problem) {
    if (!part.running) return;
    const { code, signal, forced } = await part.term();
    if (forced) problem(`${part.name} did not end within 90 s of SIGTERM`);
    else if (code !== 0) problem(`${part.name} ended with ${signal ?? `status ${code}`}`);
  }

  async #stopWorkers(problem) {
    for (const worker of this.workers) {
      if (worker.running || worker.program === null) continue;
      if (worker.program.exited.code === 0) continue;
      // Killed: its processes die with it; the rest is removed by the next start with this id.
      for (const p of await worker.left({ things: false })) problem(`${worker.name}, killed, left ${p}`);
      await worker.start();
      await worker.ready({ warm: 0 });
    }
    await Promise.all(this.workers.map((worker) => this.#end(worker, problem)));
    for (const worker of this.workers) {
      for (const thing of await worker.left()) problem(`${worker.name} left ${thing}`);
    }
  }

  async #audit(problem) {
    for (const finding of await this.audit()) problem(`audit: ${typeof finding === 'string' ? finding : JSON.stringify(finding)}`);
  }

  printLogs(lines = 120) {
    for (const program of this.programs) {
      console.error(`---- ${program.name} (pid ${program.pid}), last lines ----\n${program.tail(lines)}`);
    }
  }

  remove() {
    if (process.env.BERTH_KEEP) console.error(`kept ${this.dir}`);
    else rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Starts a stack for test t and ends it with it. options: apis, workers, redis, env, wait (false: do not wait until all is ready). */
export async function startStack(t, options = {}) {
  const stack = new Stack(options);
  t.after(async () => {
    try {
      await stack.stop();
      if (t.passed === false) stack.printLogs();
    } catch (error) {
      stack.printLogs();
      throw error;
    } finally {
      stack.remove();
    }
  });
  await stack.start(options);
  return stack;
}

let openScopes = 0;
const last = []; // see lastly

/** Something startStack takes for a test, that lives as long as the file's tests: for a stack that all of them share. */
export function fileScope() {
  const cleanups = [];
  const scope = { passed: true, after: (fn) => cleanups.unshift(fn) };
  openScopes++;
  afterEach((t) => {
    if (t.passed === false) scope.passed = false;
  });
  after(async () => {
    let failed;
    for (const cleanup of cleanups) {
      try {
        await cleanup();
      } catch (error) {
        failed ??= error; // the others still have to run: what they end would keep this process
      }
    }
    if (--openScopes === 0) await runLast();
    if (failed) throw failed;
  });
  return scope;
}

async function runLast() {
  while (last.length > 0) await last.pop()();
}

/** For what every scope of a file may need to the end (an engine): done once all of them have ended, those that begin later too. */
export function lastly(fn) {
  last.push(fn);
  after(() => openScopes === 0 && runLast());
}
