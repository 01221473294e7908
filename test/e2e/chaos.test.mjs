// Clients of every habit against APIs, workers and a Redis that are killed, frozen, told to go, drained and started again, all at
// once, for a while. Then everything is let go, and what has to be true is: each acknowledged session came to one true end, nobody
// had a berth that somebody else still had, nobody waited beyond his bound, all berths are there and clean, audit finds nothing,
// and every worker serves.
//
//   BERTH_CHAOS_SECONDS   how long (default 60)
//   BERTH_CHAOS_SEED      decides what everybody does (default: BERTH_SEED, or 1); the timing of the programs themselves is not repeatable
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startStack, waitFor, pause } from './harness.mjs';
import { allAtRest, reasons } from './crowd.mjs';
import { random } from './random.mjs';

const SECONDS = Number(process.env.BERTH_CHAOS_SECONDS ?? 60);
const SEED = Number(process.env.BERTH_CHAOS_SEED ?? process.env.BERTH_SEED ?? 1);
const CLIENTS = 24;
// The longest a request may take: the queue, three starts, the API's own backstop, and how long it may be frozen.
const REQUEST_MS = 120000;
const ENV = {
  BERTH_DRIVER: 'sim',
  BERTH_BERTHS: 5,
  BERTH_WARM: 2,
  BERTH_SIM_START: '60ms',
  BERTH_SIM_FAIL: 12,
  BERTH_LEASE: '2s',
  BERTH_CONNECT_TIMEOUT: '3s',
  BERTH_QUEUE_WAIT: '6s',
  BERTH_START_TIMEOUT: '4s',
  BERTH_API_DRAIN: '1s',
  BERTH_DRAIN_TIMEOUT: '1s',
};
// How long a session may outlive its time: the longest outage, a lease, a stop job that is said again.
const LATE_MS = 90000;
const ENDS_OF_RUNNING = ['released', 'timeout', 'idle', 'disconnected', 'browser_crashed', 'worker_lost', 'drained', 'start_failed'];
const REFUSALS = new Set(['redis_unavailable', 'no_worker', 'shutting_down', 'queue_timeout', 'start_failed', 'session_lost']);

class Actor {
  constructor(run, name) {
    this.run = run;
    this.stack = run.stack;
    this.random = random([...name].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 16777619), SEED));
  }

  chance(p) {
    return this.random() < p;
  }

  between(low, high) {
    return Math.round(low + this.random() * (high - low));
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  pause(low, high) {
    return pause(this.between(low, high));
  }
}

class Client extends Actor {
  /** A request; hangUp: ms after which the client goes away. Never throws. */
  async request(method, path, { body, headers, hangUp, bound = REQUEST_MS } = {}) {
    const begun = Date.now();
    const signals = [AbortSignal.timeout(bound)];
    if (hangUp !== undefined) signals.push(AbortSignal.timeout(hangUp));
    try {
      const { url } = this.pick(this.stack.apis);
      const answer = await this.stack.request(method, path, body, headers, { url, signal: AbortSignal.any(signals) });
      return { status: answer.status, body: answer.body, text: answer.text };
    } catch (error) {
      if (hangUp === undefined && signals[0].aborted) this.run.wrong(`${method} ${path} had no answer in ${Date.now() - begun} ms`);
      return { status: 0, error: error.cause?.code ?? error.name };
    } finally {
      this.run.slowest = Math.max(this.run.slowest, hangUp === undefined ? Date.now() - begun : 0);
    }
  }

  async create(path, options) {
    const answer = await this.request('POST', path, options);
    const { status, body, text, error } = answer;
    this.run.count(status ? `${status} ${body?.error?.code ?? body?.state ?? ''}` : error);
    if (status >= 200 && status < 300) {
      this.run.acknowledged.set(body.id, Math.max(status === 202 ? 202 : 201, this.run.acknowledged.get(body.id) ?? 0));
      return body;
    }
    if (status && !REFUSALS.has(body?.error?.code)) this.run.wrong(`POST ${path}: ${status} ${text}`);
    return null;
  }

  body() {
    const body = { timeoutSec: this.between(2, 6) };
    if (this.chance(0.4)) body.keepAlive = true;
    if (this.chance(0.2)) body.idleTimeoutSec = 2;
    return body;
  }

  async release(session) {
    if (this.chance(0.15)) return; // forgets it: its time ends it
    await this.pause(0, 1200);
    for (let tries = 0; tries < 20; tries++) {
      const { status, text } = await this.request('DELETE', `/v1/sessions/${session.id}`);
      if (status === 404) this.run.wrong(`${session.id} was acknowledged, and is unknown to its release: ${text}`);
      if (status && status < 500) return;
      await this.pause(20, 200);
    }
  }

  /** Follows a session that was told to wait, by long polls, until it runs or is over. */
  async follow(session) {
    for (let state = session.state, polls = 0; ['queued', 'starting'].includes(state) && polls < 200; polls++) {
      const { status, body, text } = await this.request('GET', `/v1/sessions/${session.id}?wait=3&state=${state}`, { bound: 60000 });
      if (status === 200) state = body.state;
      else if (status === 404) return this.run.wrong(`${session.id} was acknowledged, and is unknown: ${text}`);
      else await this.pause(20, 200);
    }
  }

  /** The same order twice or thrice under one key, as clients do that got no answer or lost patience. */
  async insist() {
    const headers = { 'idempotency-key': `k-${this.random()}` };
    const body = this.body();
    const got = new Set();
    let last = null;
    for (let tries = 0; tries < 3; tries++) {
      const session = await this.create('/v1/sessions', { body, headers, hangUp: this.chance(0.5) ? this.between(1, 400) : undefined });
      if (session) got.add((last = session).id);
    }
    if (got.size > 1) this.run.wrong(`one Idempotency-Key gave ${[...got].join(' and ')}`);
    return last;
  }

  async live() {
    while (this.run.going) {
      const habit = this.random();
      let session;
      if (habit < 0.4) session = await this.create('/v1/sessions', { body: this.body() });
      else if (habit < 0.6) session = await this.create('/v1/sessions?wait=0', { body: this.body() });
      else if (habit < 0.7) session = await this.create('/v1/sessions?wait=1', { body: this.body() });
      else if (habit < 0.85) session = await this.create('/v1/sessions', { body: this.body(), hangUp: this.between(1, 800) });
      else session = await this.insist();
      if (!session) {
        await this.pause(20, 150);
        continue;
      }
      if (session.state !== 'running') await this.follow(session);
      await this.release(session);
    }
  }
}

/** Does harm to parts of one kind, to one at a time, and mends it. */
class Chaos extends Actor {
  constructor(run, name, parts, deeds, rest) {
    super(run, name);
    Object.assign(this, { parts, deeds, rest });
  }

  async live() {
    while (this.run.going) {
      await this.pause(...this.rest);
      if (!this.run.going) return;
      const deed = this.pick(this.deeds);
      const part = this.pick(this.parts);
      this.run.count(`${deed} ${part.name.replace(/\d+$/, '')}`);
      await this[deed](part);
    }
  }

  async kill(part) {
    await part.kill();
    await this.pause(0, part === this.stack.redisServer ? 2500 : 4000);
    await part.start();
  }

  async term(part) {
    const { code, forced } = await part.term();
    if (forced || code !== 0) this.run.wrong(`${part.name}: status ${code} after SIGTERM${forced ? ', and only by force' : ''}`);
    await this.pause(0, 1500);
    await part.start();
  }

  async freeze(part) {
    part.signal('SIGSTOP');
    await this.pause(100, part.name.startsWith('worker') ? 5000 : 3500);
    part.signal('SIGCONT');
  }

  async drain(part) {
    await this.order(part, 'drain');
    await this.pause(100, 3000);
    await this.order(part, 'undrain');
  }

  async order(part, what) {
    const { url } = this.pick(this.stack.apis);
    await this.stack.request('POST', `/v1/hosts/${part.id}/${what}`, undefined, {}, { url, signal: AbortSignal.timeout(REQUEST_MS) }).catch(() => {});
  }
}

/** Reads every event, before the stream's cap takes it. */
class Watcher {
  constructor(run) {
    this.run = run;
    this.events = [];
    this.last = '-';
  }

  async read() {
    const entries = await this.run.stack.redis.xrange(this.run.stack.key('events'), this.last, '+', 'COUNT', 1000);
    for (const [id, fields] of entries) {
      this.events.push(Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]])));
      this.last = `(${id}`;
    }
    return entries.length;
  }

  async live() {
    while (this.run.going) {
      await this.read();
      await pause(100);
    }
  }
}

class Run {
  constructor(stack) {
    Object.assign(this, { stack, going: true, slowest: 0, acknowledged: new Map(), counts: {}, troubles: [] });
    this.watcher = new Watcher(this);
    const { apis, workers, redisServer } = stack;
    this.chaos = [
      new Chaos(this, 'apis', apis, ['kill', 'kill', 'term', 'freeze'], [500, 4000]),
      new Chaos(this, 'workers', workers, ['kill', 'kill', 'term', 'freeze', 'freeze', 'drain'], [200, 3000]),
      new Chaos(this, 'redis', [redisServer], ['kill', 'freeze'], [3000, 12000]),
    ];
    this.clients = Array.from({ length: CLIENTS }, (_, i) => new Client(this, `client ${i}`));
  }

  wrong(text) {
    this.troubles.push(text);
  }

  count(what) {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  async live() {
    const loops = [...this.chaos, ...this.clients, this.watcher].map((actor) => actor.live());
    const end = Date.now() + SECONDS * 1000;
    const over = waitFor(() => Date.now() > end, { timeout: SECONDS * 1000 + 5000, every: 100, what: 'the end of the chaos' });
    try {
      await Promise.race([over, Promise.all(loops)]); // a loop ends first only by an error
    } finally {
      this.going = false;
    }
    await Promise.all(loops);
  }

  /** Each session's events are one chain that ends once, and no berth had two sessions at a time. */
  checkEvents() {
    const states = new Map();
    const holders = new Map();
    const places = new Map();
    for (const { session, from, to, worker, berth } of this.watcher.events) {
      const before = states.get(session) ?? '';
      if (before !== from) this.wrong(`${session} went ${from} -> ${to}, but was ${before || 'new'}`);
      if (before === 'ended') this.wrong(`${session} ended, and then became ${to}`);
      states.set(session, to);
      if (places.has(session)) holders.delete(places.get(session));
      places.delete(session);
      if (to === 'queued' || to === 'ended') continue;
      const place = `${worker}/${berth}`;
      if (holders.has(place)) this.wrong(`${session} is ${to} on ${place}, which ${holders.get(place)} has`);
      holders.set(place, session);
      places.set(session, place);
    }
    for (const [session, state] of states) if (state !== 'ended') this.wrong(`${session} is ${state} for ever`);
    for (const id of this.acknowledged.keys()) if (!states.has(id)) this.wrong(`${id} was acknowledged, and never was`);
    return states.size;
  }

  async checkSessions() {
    for (const [id, status] of this.acknowledged) {
      const s = await this.stack.session(id);
      if (s.state !== 'ended') this.wrong(`${id} is ${s.state ?? 'unknown'}`);
      if (status === 201 && !s.running) this.wrong(`${id} was said to run, and never did`);
      if (status === 201 ? !ENDS_OF_RUNNING.includes(s.reason) : s.reason === 'cancelled') {
        this.wrong(`${id} was acknowledged with ${status} and ended as ${s.reason}: ${JSON.stringify(s)}`);
      }
      if (s.running && s.ended - s.running > Number(s.timeout_ms) + LATE_MS) {
        this.wrong(`${id} lived ${s.ended - s.running} ms of ${s.timeout_ms}`);
      }
    }
  }

  /** Whoever ended by himself did so without being told to, or with another status than 0. */
  checkPrograms() {
    for (const { name, pid, exited, signalled } of this.stack.programs) {
      if (!exited) continue;
      const asked = signalled === 'SIGKILL' ? exited.signal === 'SIGKILL' : signalled === 'SIGTERM' && exited.code === 0;
      if (!asked) this.wrong(`${name} (${pid}) ended with ${exited.signal ?? `status ${exited.code}`} (last signal: ${signalled})`);
    }
  }
}

/** At rest nobody listens, waits or relays, every job was read, and no key is there that nothing stands for. */
async function nothingLeft(stack) {
  const { redis } = stack;
  assert.deepEqual(await redis.pubsub('CHANNELS', '*'), [], 'channels that somebody still listens to');
  for (const { url } of stack.apis) {
    const text = await (await fetch(`${url}/metrics`)).text();
    for (const name of ['waiting_creates', 'long_polls', 'relays']) assert.match(text, new RegExp(`^berth_${name} 0$`, 'm'));
  }
  const ids = stack.workers.map((w) => w.id);
  await waitFor(async () => (await Promise.all(ids.map((id) => redis.xlen(stack.key(`jobs:${id}`))))).every((n) => n === 0), {
    what: 'all jobs to be done',
  });
  const expected = /^(cell|events|profiles|projects|workers|(worker|berths|free|jobs|room|spare|warm|carriers|project|idem|session|sessions):.*)$/;
  const keys = (await redis.keys('*')).map((key) => key.slice(stack.key('').length));
  const odd = keys.filter((key) => !expected.test(key) || (/^(worker|berths|free|jobs):/.test(key) && !ids.includes(key.replace(/^\w+:/, ''))));
  assert.deepEqual(odd, [], 'keys of nothing');
}

/** One session on each worker, the others being drained. */
async function serveEverywhere(stack) {
  const order = (worker, what) => stack.request('POST', `/v1/hosts/${worker.id}/${what}`);
  for (const worker of stack.workers) {
    const others = stack.workers.filter((w) => w !== worker);
    for (const other of others) await order(other, 'drain');
    // A start may fail three times over: that is the sim driver's business here.
    const session = await waitFor(
      async () => {
        const { status, body } = await stack.request('POST', '/v1/sessions', { keepAlive: true });
        return status === 201 && body;
      },
      { what: `a session on ${worker.name}` },
    );
    assert.equal((await stack.session(session.id)).worker, worker.id);
    assert.equal((await stack.request('DELETE', `/v1/sessions/${session.id}`)).status, 204);
    for (const other of others) await order(other, 'undrain');
  }
}

test(`chaos for ${SECONDS} s, seed ${SEED}`, { timeout: (SECONDS + 600) * 1000 }, async (t) => {
  const stack = await startStack(t, { apis: 2, workers: [{}, {}, {}], redis: { aof: true }, env: ENV });
  const run = new Run(stack);
  await run.live();
  t.diagnostic(`what happened: ${JSON.stringify(run.counts)}; slowest answer ${run.slowest} ms`);

  await Promise.all(stack.apis.map((api) => api.ready()));
  for (const worker of stack.workers) {
    await waitFor(async () => (await stack.request('POST', `/v1/hosts/${worker.id}/undrain`)).status < 300, {
      what: `${worker.name} to be there again`,
    });
  }
  await allAtRest(stack, { acknowledged: run.acknowledged.keys(), timeout: LATE_MS + 10000 });
  while (await run.watcher.read());
  const sessions = run.checkEvents();
  await run.checkSessions();
  run.checkPrograms();
  t.diagnostic(`${sessions} sessions, ${run.acknowledged.size} acknowledged; ends: ${JSON.stringify(await reasons(stack))}`);
  assert.deepEqual(run.troubles, [], `seed ${SEED}`);
  assert.ok(run.acknowledged.size > SECONDS / 4, 'enough sessions to speak of');

  const workers = await stack.redis.zrange(stack.key('workers'), 0, -1);
  assert.deepEqual(workers.sort(), stack.workers.map((w) => w.id).sort());
  for (const worker of stack.workers) {
    assert.equal(Number((await worker.record()).capacity), ENV.BERTH_BERTHS);
    await worker.ready();
  }
  await serveEverywhere(stack);
  await allAtRest(stack);
  await nothingLeft(stack);
});
