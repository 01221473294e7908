// Random steps of several API and worker actors against the scripts in a real Redis, with the model beside it. After each step
// the answer, every key and `audit` are compared. A run is a fresh cell and is decided by its seed alone.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { PREFIX, root, call, unflat } from './fixture.mjs';
import { Model, readDump, alike } from './model.mjs';

const dumpScript = readFileSync(join(root, 'test', 'lua', 'dump.lua'), 'utf8');
const PROFILES = ['small', 'large', 'gpu'];
const PROJECTS = ['red', 'green', 'blue'];
export const STEPS_A_RUN = 250;

function mulberry(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Draws the steps of one run. What the actors believe comes from the model, and is wrong now and then.
class Actors {
  constructor(seed, model) {
    this.rnd = mulberry(seed);
    this.model = model;
    this.now = 1700000000000 + this.int(1000);
    this.serial = 0;
    this.past = [];
    this.lease = this.pick([3000, 4000, 10000, 30000]);
    this.wide = this.rnd() < 0.1; // more workers than a cold start compares
    this.workers = Array.from({ length: this.wide ? 12 : 1 + this.int(4) }, (_, n) => `w${n}`);
    this.placement = this.pick(['pack', 'spread', null]);
    this.busy = 0.08 + 1.2 * this.rnd() ** 2; // how hard the API side pushes
    this.flaky = this.rnd() < 0.3 ? 0.7 : 0.15; // how many starts fail
    this.sweeps = this.rnd() < 0.2 ? 0.3 : 1; // in some runs nobody sweeps for long
    this.beats = this.rnd() < 0.4 ? 0.15 : 1; // in some, workers hardly live to renew their lease
  }
  int(n) {
    return Math.floor(this.rnd() * n);
  }
  chance(p) {
    return this.rnd() < p;
  }
  pick(list) {
    return list[this.int(list.length)];
  }
  weighted(table) {
    let at = this.rnd() * table.reduce((sum, [w]) => sum + w, 0);
    for (const [w, x] of table) if ((at -= w) < 0) return x;
    return table[0][1];
  }
  packing() {
    return this.placement ?? this.pick(['pack', 'spread']);
  }
  hex() {
    return (0x10000000 + this.int(0xefffffff)).toString(16);
  }
  tick() {
    const r = this.rnd();
    if (r < 0.6) this.now += this.int(50);
    else if (r < 0.9) this.now += this.int(1000);
    else if (r < 0.975) this.now += this.int(5000);
    else if (r < 0.995) this.now += this.int(40000);
    else this.now -= this.int(500);
  }

  // A worker, mostly one that has a berth in one of these states.
  worker(states = null, test = () => true) {
    const fit = !states ? [] : [...this.model.workers.values()].filter((w) => w.berths.some((b) => b && states.includes(b.state) && test(b)));
    return fit.length && this.chance(0.8) ? this.pick(fit).id : this.pick(this.workers);
  }
  epoch(id) {
    const is = this.model.workers.get(id)?.epoch ?? this.model.epoch;
    return String(this.chance(0.94) ? is : Math.max(0, is - 2 + this.int(4)));
  }
  // A berth of the worker that is in one of these states, mostly: [index, turn].
  berth(id, states, test = () => true) {
    const list = this.model.workers.get(id)?.berths ?? [];
    const fit = [...list.keys()].filter((i) => list[i] && states.includes(list[i].state) && test(list[i]));
    const i = fit.length && this.chance(0.9) ? this.pick(fit) : this.int((list.length || 2) + 1);
    const turn = list[i]?.turn ?? this.int(3);
    return [String(i), String(this.chance(0.95) ? turn : Math.max(0, turn - 2 + this.int(4))), list[i]];
  }
  session(states = null) {
    const all = states ? [...this.model.live].filter((s) => states.includes(s.state)) : [...this.model.sessions.values()];
    return all.length && this.chance(0.97) ? this.pick(all) : { id: 'c0-nobody', project: 'red' };
  }

  // The next step: { verb, args without now, ack: [worker, n] of a job that is acknowledged with it }.
  next() {
    if (this.past.length && this.chance(0.07)) return this.pick(this.past.slice(-30)); // a lost answer: the same call again
    const b = this.busy;
    const step = this[this.weighted([
      [20 * b, 'admit'], [5, 'release'], [4, 'cancel'], [1, 'get'], [1.5, 'limits'], [2, 'drain'], [8 * this.sweeps, 'sweep'],
      [this.model.workers.size < this.workers.length ? 8 : 0.8, 'register'], [7 * this.beats, 'heartbeat'], [9, 'reserve'], [8, 'offer'], [1, 'withdraw'],
      [4, 'ready'], [2.5, 'failed'], [5, 'freed'], [18, 'job'], [0.5, 'wrong'],
    ])]();
    this.past.push(step);
    return step;
  }
  admit() {
    let id = 'c0-';
    for (let n = (this.serial += 1); n > 0; n = Math.floor(n / 26)) id += String.fromCharCode(97 + (n % 26));
    const again = this.chance(0.03) ? this.session().id : id;
    const idem = this.chance(0.25) ? `k${this.int(6)}` : '';
    const wait = this.pick(['0', '3000', '20000', '120000']);
    return {
      verb: 'admit',
      args: [again, this.pick(PROJECTS), this.pick(PROFILES), this.pick(['1', '5000', '60000', '600000']), this.pick(['0', '9000']),
        this.pick(['0', '1']), wait, this.pick(['500', '2000', '30000']), this.packing(), this.pick(['0', '2', '3', '6']),
        this.pick(['0', '4', '4', '9', '9']), this.pick(['3', '12', '12']), this.pick(['', '{"a":1}']), idem,
        idem && this.pick(['aa', 'aa', 'aa', 'bb'])],
    };
  }
  release() {
    const s = this.session(['queued', 'starting', 'running', 'running', 'ending']);
    const project = this.pick(['', s.project, 'red']);
    if (this.chance(0.5)) return { verb: 'release', args: [s.id, project, this.pick(['released', 'timeout']), '', ''] };
    return { verb: 'release', args: [s.id, '', this.pick(['idle', 'disconnected', 'drained']), s.worker ?? this.worker(), s.epoch ?? '1'] };
  }
  cancel() {
    const s = this.session(this.chance(0.7) ? ['queued', 'starting'] : ['running', 'running', 'ending']);
    return { verb: 'cancel', args: [s.id, this.pick(['', s.project, 'blue'])] };
  }
  get() {
    const s = this.session();
    return { verb: 'get', args: [s.id, this.pick(['', s.project, 'blue'])] };
  }
  limits() {
    return { verb: 'limits', args: [this.pick(PROJECTS), this.pick(['', '-', '0', '1', '2', '5']), this.pick(['', '-', '0', '2', '8'])] };
  }
  drain() {
    const id = this.worker();
    const state = this.model.workers.get(id)?.state;
    const action = this.weighted([[state === 'ready' ? 3 : 1, 'drain'], [state === 'draining' ? 6 : 1, 'undrain'], [2, 'leave']]);
    return { verb: 'drain', args: [id, action, action === 'leave' || this.chance(0.2) ? this.epoch(id) : '', this.packing()] };
  }
  sweep() {
    return { verb: 'sweep', args: [String(this.lease), this.pick(['1', '2', '5', '500', '500', '500']), this.packing()] };
  }
  register() {
    const missing = this.workers.filter((w) => !this.model.workers.has(w));
    const id = missing.length && this.chance(0.8) ? this.pick(missing) : this.worker();
    const some = PROFILES.filter(() => this.chance(0.7));
    const profiles = some.length ? some : [this.pick(PROFILES)];
    if (this.chance(0.5)) profiles.reverse();
    return {
      verb: 'register',
      args: [id, String(this.lease), String(1 + this.int(4)), profiles.join(','), `http://${id}/${this.int(9)}`, 'sim', '{}', this.packing()],
    };
  }
  heartbeat() {
    const id = this.worker();
    return {
      verb: 'heartbeat',
      args: [id, this.epoch(id), String(this.lease), this.chance(0.25) ? '1' : '0', String(this.int(4) * 25), '5', '0.5', '0', this.packing()],
    };
  }
  reserve() {
    const id = this.worker(['free']);
    const profiles = this.model.workers.get(id)?.profiles;
    return { verb: 'reserve', args: [id, this.epoch(id), profiles && this.chance(0.95) ? this.pick(profiles) : this.pick(PROFILES)] };
  }
  offer() {
    const id = this.worker(['starting'], (x) => !x.session);
    const [i, turn, b] = this.berth(id, ['starting'], (x) => !x.session);
    const profile = b?.profile && this.chance(0.97) ? b.profile : this.pick(PROFILES);
    return { verb: 'offer', args: [id, this.epoch(id), i, turn, profile, this.hex(), this.pick(['', '{"ms":5}']), this.packing()] };
  }
  withdraw() {
    const id = this.worker(['warm']);
    const [i, turn] = this.berth(id, ['warm']);
    return { verb: 'withdraw', args: [id, this.epoch(id), i, turn] };
  }
  ready() {
    const id = this.worker(['starting'], (x) => x.session);
    const [i, turn, b] = this.berth(id, ['starting'], (x) => x.session);
    const session = b?.session && this.chance(0.95) ? b.session : this.session().id;
    return { verb: 'ready', args: [id, this.epoch(id), i, turn, session, this.hex(), this.pick(['', '{"ms":7}'])] };
  }
  failed() {
    const id = this.worker(['starting', 'warm', 'taken']);
    const [i, turn] = this.berth(id, ['starting', 'warm', 'taken']);
    return { verb: 'failed', args: [id, this.epoch(id), i, turn, this.pick(['', 'broke']), this.packing()] };
  }
  freed() {
    const id = this.worker(['cleaning']);
    const [i, turn] = this.berth(id, this.chance(0.93) ? ['cleaning'] : ['cleaning', 'taken', 'starting', 'warm']);
    return { verb: 'freed', args: [id, this.epoch(id), i, turn, this.packing()] };
  }
  // A worker reads its stream: does what the job says and acknowledges it, or dies in between and reads it again later.
  job() {
    const ids = [...this.model.workers.values()].filter((w) => w.jobs.length).map((w) => w.id);
    if (!ids.length) return this.heartbeat();
    const id = this.pick(ids);
    const { jobs } = this.model.workers.get(id);
    const n = this.chance(0.8) ? 0 : this.int(jobs.length);
    const job = jobs[n];
    const ack = this.chance(0.85) ? [id, n] : undefined;
    const ours = [id, job.epoch, job.berth, job.turn];
    if (job.kind === 'start' && !this.chance(this.flaky)) {
      return { verb: 'ready', args: [...ours, job.session, this.hex(), '{"ms":7}'], ack };
    }
    if (job.kind === 'start') return { verb: 'failed', args: [...ours, 'did not start', this.packing()], ack };
    if (job.kind === 'stop') return { verb: 'freed', args: [...ours, this.packing()], ack };
    return { ...this.heartbeat(), ack };
  }
  // A call that is refused before it does anything.
  wrong() {
    const step = this[this.pick(['admit', 'release', 'freed', 'offer', 'register', 'sweep'])]();
    if (this.chance(0.5)) return { ...step, args: step.args.slice(1), answer: ['bad_argument', 'count'] };
    return { ...step, args: ['no|name', ...step.args.slice(1)], answer: ['bad_argument', '2'] };
  }
}

// The transitions that a script's header allows, as 'from → to'.
function headerTransitions(text) {
  const events = text.split('\n-- Events\n')[1].split('\n').filter((l) => l.startsWith('--   ')).join(' ');
  return new Set([...events.matchAll(/(\(new\)|[a-z]+) → ([a-z]+)/g)].map((m) => `${m[1] === '(new)' ? '' : m[1]} → ${m[2]}`));
}

function normal(verb, reply) {
  if (reply[0] !== 'ok') return reply;
  const flatAt = { admit: 3, release: 1, cancel: 1, limits: 1, get: 2 }[verb];
  return flatAt ? reply.map((x, i) => (i === flatAt ? unflat(x) : x)) : reply;
}

// Where two values first differ, for a person.
function difference(is, should, path = '') {
  if (alike(is, should)) return null;
  const plain = (x) => x && typeof x === 'object' && Object.keys(x).length;
  if (plain(is) && plain(should) && Array.isArray(is) === Array.isArray(should)) {
    const keys = new Set([...Object.keys(is), ...Object.keys(should)]);
    const found = [...keys].map((k) => difference(is[k], should[k], `${path}.${k}`)).filter(Boolean);
    if (found.length) return found.slice(0, 8).join('\n');
  }
  return `${path}: is ${inspect(is, { breakLength: 120 })}\n${path}: should be ${inspect(should, { breakLength: 120 })}`;
}

// One run. Throws with seed, step and the last steps when something differs. `headers`: verb → transitions (or null).
export async function run(redis, scripts, seed, steps = STEPS_A_RUN, headers = null) {
  const model = new Model(PROFILES, PROJECTS);
  const actors = new Actors(seed, model);
  const log = [];
  let jobIds = {};
  let lastEvent = '0';
  await redis.flushdb();
  const dumpSha = await redis.script('LOAD', dumpScript);
  const stats = {};
  for (let n = 0; n < steps; n++) {
    actors.tick();
    const { now } = actors;
    const { verb, args, ack, answer } = actors.next();
    const argv = [String(now), ...args];
    log.push(`${n} ${verb} ${argv.join(' ')}${ack ? ` (ack ${ack[0]} ${ack[1]})` : ''}`);
    const pipe = redis.pipeline();
    const acked = ack && jobIds[ack[0]]?.[ack[1]];
    if (acked) {
      pipe.xdel(`${PREFIX}:jobs:${ack[0]}`, acked);
      model.workers.get(ack[0])?.jobs.splice(ack[1], 1);
    }
    call(pipe, scripts, verb, ...argv);
    call(pipe, scripts, 'audit', now, '0', 1000000);
    pipe.evalsha(dumpSha, 1, PREFIX, lastEvent, PROFILES.join(','), PROJECTS.join(','));
    const [[failure, reply], [auditFailure, audit], [dumpFailure, json]] = (await pipe.exec()).slice(-3);
    const wrong = (what, text) => {
      const e = new Error(`${what} after step ${n} of seed ${seed} (replay: BERTH_RANDOM_SEED=${seed} BERTH_RANDOM_STEPS=${n + 1})\n${text}\n`
        + `last steps:\n${log.slice(-25).join('\n')}\nanswer: ${inspect(reply, { breakLength: 150 })}`);
      Object.assign(e, { step: n, seed });
      return e;
    };
    for (const f of [failure, auditFailure, dumpFailure]) if (f) throw wrong('a script failed', f.message);
    const dump = readDump(json, lastEvent);
    ({ jobIds, lastEvent } = dump);
    let expected;
    try {
      if (answer) model.events = [];
      expected = answer ?? model.call(verb, argv, now);
    } catch (e) {
      throw wrong('the model stumbles', e.stack);
    }
    const is = normal(verb, reply);
    if (!alike(is, expected)) throw wrong('the answer differs', difference(is, expected));
    const should = model.state();
    if (!alike(dump.state, should)) throw wrong('Redis differs', difference(dump.state, should));
    const overdue = model.swept > now - 5000 ? [...model.live].filter((s) => Number(s.deadline) < now - 60000).length : 0;
    const late = audit[3].filter((f) => f.includes('overdue by')).length;
    if (audit[1] !== '0' || audit[3].length !== late || late !== overdue) throw wrong('audit finds', audit[3].join('\n') || `${late} overdue`);
    for (const [, , from, to] of model.events) {
      if (headers && !headers[verb].has(`${from} → ${to}`)) throw wrong(`${verb} does not announce`, `${from} → ${to}`);
      const t = `${verb} ${from} → ${to}`;
      stats[t] = (stats[t] ?? 0) + 1;
    }
    const code = `${verb}: ${expected[0]}`;
    stats[code] = (stats[code] ?? 0) + 1;
  }
  return { stats, log };
}

function readHeaders() {
  const headers = {};
  for (const verb of ['register', 'heartbeat', 'reserve', 'offer', 'withdraw', 'admit', 'ready', 'failed', 'freed', 'release', 'cancel',
    'drain', 'limits', 'get', 'sweep']) {
    headers[verb] = headerTransitions(readFileSync(join(root, 'lua', `${verb}.lua`), 'utf8'));
  }
  return headers;
}

// Runs with seeds seed, seed + 1, … until `steps` are done, some at a time, each in a database of its own.
export async function runs(connect, scripts, seed, steps, parallel = 3) {
  const headers = readHeaders();
  const total = {};
  let left = steps;
  let next = seed;
  let failed = null;
  const lane = async (db) => {
    const redis = await connect(db);
    while (left > 0 && !failed) {
      const n = Math.min(left, STEPS_A_RUN);
      left -= n;
      try {
        const { stats } = await run(redis, scripts, next++, n, headers);
        for (const [k, v] of Object.entries(stats)) total[k] = (total[k] ?? 0) + v;
      } catch (e) {
        failed ??= e;
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, (_, n) => lane(n + 1)));
  if (failed) throw failed;
  return total;
}

