// A plain model of a cell, for the randomised test: what each script has to answer and what Redis has to hold after it. It
// keeps sessions, workers with their berths, and limits; all counts, indices and queues are worked out from those.
import assert from 'node:assert/strict';

const DAY = 86400000;
const LIVE = ['queued', 'starting', 'running', 'ending'];
const by = (f) => (a, b) => (f(a) < f(b) ? -1 : f(a) > f(b) ? 1 : 0);
const text = (n) => String(n);

export class Model {
  constructor(profiles, projects) {
    Object.assign(this, { profiles, projectNames: projects, epoch: 0, swept: null, grace: null, queuedSeen: false });
    this.workers = new Map();
    this.sessions = new Map();
    this.live = new Set();
    this.endedCount = {};
    this.idem = new Map();
    this.projects = new Map(); // id → { limits: {}, tags: {}, seen: Set of states that were ever counted }
    this.vtime = {};
    this.events = []; // of this step
  }

  // ---- what is where ----
  project(id) {
    if (!this.projects.has(id)) this.projects.set(id, { limits: {}, tags: {}, seen: new Set() });
    return this.projects.get(id);
  }
  inState(state, project) {
    return [...this.live].filter((s) => s.state === state && (!project || s.project === project));
  }
  queue(profile) {
    return this.inState('queued').filter((s) => s.profile === profile)
      .sort((a, b) => Number(a.tag) - Number(b.tag) || (a.id < b.id ? -1 : 1));
  }
  position(s) {
    return s.state === 'queued' ? this.queue(s.profile).indexOf(s) + 1 : 0;
  }
  open(w) {
    return w.state === 'ready' && w.pressure === '0';
  }
  count(w, state) {
    return w.berths.filter((b) => b && b.state === state).length;
  }
  capacity(w) {
    return w.berths.filter((b) => b).length;
  }
  warm(profile, only) {
    const found = [];
    for (const w of this.workers.values()) {
      if (w.state !== 'ready' || (only && w !== only)) continue;
      w.berths.forEach((b, i) => b && b.state === 'warm' && b.profile === profile && found.push({ w, i, member: `${w.id}/${i}` }));
    }
    return found.sort((a, b) => a.w.epoch - b.w.epoch || (a.member < b.member ? -1 : 1));
  }
  spare(w, profile) {
    return w.profiles.includes(profile) && this.open(w) ? w.berths.filter((b) => b && b.state === 'warm' && b.profile !== profile).length : 0;
  }
  flat(s) {
    const o = {};
    for (const [k, v] of Object.entries(s)) if (k !== 'deadline' && v !== undefined) o[k] = v;
    return o;
  }

  // ---- the two kinds of change ----
  move(s, to, fields = {}) {
    const from = s.state ?? '';
    assert.notEqual(from, 'ended');
    Object.assign(s, fields, { state: to });
    if (to !== 'queued' || s.queued === undefined) s[to] = text(this.now);
    const p = this.project(s.project);
    if (to !== 'ended') p.seen.add(to);
    if (to === 'queued') this.queuedSeen = true;
    s.deadline = { queued: s.queue_deadline, starting: this.now + Number(s.start_ms), running: s.expires, ending: this.now + 15000 }[to];
    if (to === 'ended') {
      this.live.delete(s);
      this.endedCount[s.project] = (this.endedCount[s.project] ?? 0) + 1;
    } else this.live.add(s);
    this.events.push([s.id, s.project, from, to, s.reason ?? '', s.worker ?? '', s.berth ?? '']);
  }
  set(w, i, state, fields = {}) {
    const b = w.berths[i];
    if (state === 'free') {
      Object.assign(b, { profile: '', session: '', secret: '', timings: '' });
      w.free.push(i);
    }
    Object.assign(b, fields, { state });
  }
  job(w, kind, fields) {
    w.jobs.push({ kind, epoch: text(w.epoch), ...fields });
  }

  // ---- placing ----
  claim(s, w, i) {
    const b = w.berths[i];
    this.set(w, i, 'taken', { session: s.id });
    this.move(s, 'running', {
      worker: w.id, berth: text(i), turn: text(b.turn), epoch: text(w.epoch), gateway: w.gateway, secret: b.secret,
      timings: b.timings || undefined, warm: '1', message: undefined, expires: text(this.now + Number(s.timeout_ms)),
    });
    this.job(w, 'claim', this.about(s, w, i));
  }
  begin(s, w, i) {
    const b = w.berths[i];
    this.set(w, i, 'starting', { turn: b.turn + 1, profile: s.profile, session: s.id, secret: '', timings: '' });
    this.move(s, 'starting', {
      worker: w.id, berth: text(i), turn: text(b.turn), epoch: text(w.epoch), gateway: w.gateway, secret: undefined,
      timings: undefined, message: undefined, warm: '0', attempts: text(Number(s.attempts) + 1),
    });
    this.job(w, 'start', this.about(s, w, i));
  }
  about(s, w, i) {
    return {
      berth: text(i), turn: text(w.berths[i].turn), session: s.id, profile: s.profile, timeout_ms: s.timeout_ms, idle_ms: s.idle_ms,
      keep_alive: s.keep_alive,
    };
  }
  place(s, placement) {
    const pack = placement === 'pack';
    const warm = this.warm(s.profile);
    if (warm.length) {
      const h = [...s.id.slice(-6)].reduce((sum, c) => sum * 31 + c.charCodeAt(0), 0);
      const { w, i } = warm[pack ? 0 : h % warm.length];
      this.claim(s, w, i);
      return true;
    }
    const order = (value) => {
      const list = [...this.workers.values()].filter((w) => value(w) > 0)
        .sort((a, b) => value(a) - value(b) || (a.id < b.id ? -1 : 1));
      return pack ? list : list.reverse();
    };
    const room = order((w) => (this.open(w) && w.profiles.includes(s.profile) ? this.count(w, 'free') : 0)).slice(0, 8);
    if (room.length) {
      room.sort((a, b) => this.count(a, 'starting') - this.count(b, 'starting') || Number(a.cpu) - Number(b.cpu));
      this.begin(s, room[0], room[0].free.shift());
      return true;
    }
    const spare = order((w) => this.spare(w, s.profile));
    if (!spare.length) return false;
    this.begin(s, spare[0], this.evictable(spare[0], s.profile));
    return true;
  }
  evictable(w, profile) {
    for (const p of w.profiles) if (p !== profile && this.warm(p, w).length) return this.warm(p, w)[0].i;
    return assert.fail('nothing to evict');
  }
  again(s, cause, placement, message) {
    const note = message === undefined ? {} : { message };
    if (Number(s.attempts) >= 3) return this.move(s, 'ended', { reason: cause, ...note });
    if (this.place(s, placement)) return;
    s.tag ??= text(this.vtime[s.profile] ?? 0);
    const gone = Object.fromEntries(['worker', 'berth', 'turn', 'epoch', 'gateway', 'secret', 'starting', 'warm'].map((f) => [f, undefined]));
    this.move(s, 'queued', { ...gone, ...note });
  }
  serve(w) {
    for (;;) {
      if (w.state !== 'ready') return;
      let best;
      let claimed = false;
      for (const p of w.profiles) {
        const [head] = this.queue(p);
        if (!head) continue;
        const [warm] = this.warm(p, w);
        if (warm) {
          this.pop(head);
          this.claim(head, w, warm.i);
          claimed = true;
          break;
        }
        if (!best || Number(head.created) < Number(best.created)) best = head;
      }
      if (claimed) continue;
      if (!best || !this.open(w) || this.count(w, 'free') + this.count(w, 'warm') === 0) return;
      const i = w.free.length ? w.free.shift() : this.evictable(w, best.profile);
      this.pop(best);
      this.begin(best, w, i);
    }
  }
  pop(s) {
    this.vtime[s.profile] = Math.max(this.vtime[s.profile] ?? 0, Number(s.tag));
    if (this.vtime[s.profile] === 0) delete this.vtime[s.profile];
  }
  finish(s, reason, message) {
    const note = message === undefined ? {} : { message };
    if (s.state === 'queued') {
      const tags = this.project(s.project).tags;
      if (tags[s.profile] === Number(s.tag)) tags[s.profile]--;
      this.move(s, 'ended', { reason, ...note });
    } else if (s.state === 'starting' || s.state === 'running') {
      const w = this.workers.get(s.worker);
      const i = Number(s.berth);
      const { profile, turn } = w.berths[i];
      this.set(w, i, 'cleaning', { secret: '', timings: '' });
      this.move(s, 'ending', { reason, ...note });
      this.job(w, 'stop', { berth: s.berth, turn: text(turn), session: s.id, profile, reason });
    }
  }
  lose(w, limit, placement) {
    let done = 0;
    for (let i = 0; i < w.berths.length && done < limit; i++) {
      const b = w.berths[i];
      if (!b) continue;
      done++;
      w.berths[i] = null;
      const s = this.sessions.get(b.session);
      if (!s) continue;
      if (s.state === 'starting') this.again(s, 'worker_lost', placement);
      else this.move(s, 'ended', s.state === 'running' ? { reason: 'worker_lost' } : {});
    }
    if (!this.capacity(w)) this.workers.delete(w.id);
    return done;
  }
  mark(w) {
    Object.assign(w, { state: 'lost', lease: 0, free: [] });
  }

  // ---- the scripts ----
  // The answer that a call has to get. `args` as in ARGV.
  call(verb, args, now) {
    this.now = now;
    this.events = [];
    return this[verb](...args.slice(1));
  }
  fence(id, epoch) {
    const w = this.workers.get(id);
    if (!w || w.state === 'lost') return [null, ['unknown_worker']];
    if (text(w.epoch) !== epoch) return [null, ['stale_epoch']];
    return [w];
  }
  register(id, lease, capacity, profiles, gateway, driver, info, placement) {
    const old = this.workers.get(id);
    if (old) {
      this.mark(old);
      this.lose(old, Infinity, placement);
    }
    this.epoch ||= Math.max(0, this.now - 1577836800000);
    const w = {
      id, epoch: ++this.epoch, state: 'ready', gateway, driver, info, profiles: profiles.split(','), pressure: '0', cpu: '0', mem: '0',
      load: '0', crashes: '0', registered: text(this.now), seen: text(this.now), lease: this.now + Number(lease), jobs: [],
      berths: Array.from({ length: Number(capacity) }, () => ({ state: 'free', turn: 0, profile: '', session: '', secret: '', timings: '' })),
      free: Array.from({ length: Number(capacity) }, (_, i) => i),
    };
    this.workers.set(id, w);
    this.serve(w);
    return ['ok', w.epoch, this.now];
  }
  heartbeat(id, epoch, lease, pressure, cpu, mem, load, crashes) {
    const [w, refused] = this.fence(id, epoch);
    if (!w) return refused;
    const before = w.pressure;
    Object.assign(w, { pressure, cpu, mem, load, crashes, seen: text(this.now), lease: this.now + Number(lease) });
    if (before !== pressure) this.serve(w);
    return ['ok', w.state, this.now, ...['free', 'starting', 'warm', 'taken', 'cleaning'].map((s) => this.count(w, s))];
  }
  reserve(id, epoch, profile) {
    const [w, refused] = this.fence(id, epoch);
    if (!w) return refused;
    if (!w.profiles.includes(profile)) return ['bad_argument', '4'];
    if (w.state !== 'ready' || !w.free.length) return ['no_berth'];
    const i = w.free.shift();
    this.set(w, i, 'starting', { turn: w.berths[i].turn + 1, profile });
    return ['ok', i, w.berths[i].turn];
  }
  berth(w, i, turn) {
    const b = w.berths[Number(i)];
    return b && text(b.turn) === turn ? b : null;
  }
  offer(id, epoch, i, turn, profile, secret, timings) {
    const [w, refused] = this.fence(id, epoch);
    if (!w) return refused;
    const b = this.berth(w, i, turn);
    if (!b || b.profile !== profile) return ['stale_turn'];
    if (b.secret === secret) return ['ok', b.state];
    if (b.state !== 'starting' || b.session) return ['stale_turn'];
    if (w.state === 'draining') {
      this.set(w, i, 'cleaning', { secret: '', timings: '' });
      this.job(w, 'stop', { berth: i, turn, session: '', profile, reason: 'drained' });
      return ['ok', 'warm'];
    }
    this.set(w, i, 'warm', { secret, timings });
    this.serve(w);
    return ['ok', b.state === 'taken' ? 'taken' : 'warm'];
  }
  withdraw(id, epoch, i, turn) {
    const [w, refused] = this.fence(id, epoch);
    if (!w) return refused;
    const b = this.berth(w, i, turn);
    if (!b) return ['stale_turn'];
    if (b.state === 'cleaning' && !b.session) return ['ok'];
    if (b.state !== 'warm') return ['not_warm'];
    this.set(w, i, 'cleaning', { secret: '', timings: '' });
    return ['ok'];
  }
  admit(id, project, profile, timeout, idle, keep, wait, start, placement, concurrency, queue, total, meta, idem, body) {
    const known = this.sessions.get(id);
    if (known) return known.project === project ? ['ok', this.position(known), 1, this.flat(known)] : ['bad_argument', '2'];
    const key = `${project}:${idem}`;
    const [first, hash] = (idem && this.idem.get(key)) || [];
    const same = this.sessions.get(first);
    if (same && (same.state !== 'ended' || same.running)) {
      if (hash !== body) return ['idempotency_mismatch'];
      if (same.state !== 'ended') same.adopted = '1';
      return ['ok', this.position(same), 1, this.flat(same)];
    }
    const limits = this.projects.get(project)?.limits ?? {};
    const queued = this.inState('queued', project).length;
    const used = queued + this.inState('starting', project).length + this.inState('running', project).length;
    const limit = Number(limits.concurrency ?? concurrency);
    if (limit > 0 && used >= limit) return ['concurrency_limit', limit, used];
    const s = {
      id, project, profile, created: text(this.now), timeout_ms: timeout, idle_ms: idle, keep_alive: keep, start_ms: start,
      queue_deadline: text(this.now + Number(wait)), attempts: '0',
    };
    if (meta) s.meta = meta;
    if (idem) s.idem = idem;
    if (this.queue(profile).length || !this.place(s, placement)) {
      if (![...this.workers.values()].some((w) => w.state === 'ready' && w.profiles.includes(profile))) return ['no_worker'];
      const most = Number(limits.queue ?? queue);
      if (queued >= most) return ['project_queue_full', most, queued];
      const waiting = this.inState('queued').length;
      if (waiting >= Number(total)) return ['queue_full', Number(total), waiting];
      const tags = this.project(project).tags;
      tags[profile] = Math.max(this.vtime[profile] ?? 0, tags[profile] ?? 0) + 1;
      s.tag = text(tags[profile]);
      this.move(s, 'queued');
    }
    this.sessions.set(id, s);
    if (idem) this.idem.set(key, [id, body]);
    return ['ok', this.position(s), 0, this.flat(s)];
  }
  ready(id, epoch, i, turn, session, secret, timings) {
    const [w, refused] = this.fence(id, epoch);
    if (!w) return refused;
    const b = this.berth(w, i, turn);
    if (!b) return ['stale_turn'];
    if (b.session === session && b.state === 'taken' && b.secret === secret) return ['ok'];
    const s = this.sessions.get(session);
    if (!s || s.state === 'ending' || s.state === 'ended') return ['session_gone'];
    if (b.session !== session || b.state !== 'starting') return ['stale_turn'];
    this.set(w, i, 'taken', { secret });
    this.move(s, 'running', { secret, timings: timings || undefined, expires: text(this.now + Number(s.timeout_ms)) });
    return ['ok'];
  }
  failed(id, epoch, i, turn, message, placement) {
    const [w, refused] = this.fence(id, epoch);
    if (!w) return refused;
    const b = this.berth(w, i, turn);
    if (!b || b.state === 'free') return ['stale_turn'];
    if (b.state === 'cleaning') return ['ok'];
    const s = this.sessions.get(b.session);
    const runs = s?.state === 'running';
    this.set(w, i, 'cleaning', { secret: '', timings: '', session: runs ? s.id : '' });
    if (runs) this.move(s, 'ending', { reason: 'browser_crashed', message });
    else if (s) this.again(s, 'start_failed', placement, message);
    return ['ok'];
  }
  freed(id, epoch, i, turn, placement) {
    const [w, refused] = this.fence(id, epoch);
    if (!w) return refused;
    const b = this.berth(w, i, turn);
    if (!b) return ['stale_turn'];
    if (b.state === 'free') return ['ok'];
    const s = this.sessions.get(b.session);
    this.set(w, Number(i), 'free');
    if (s?.state === 'starting') this.again(s, 'start_failed', placement);
    else if (s) this.move(s, 'ended', s.state === 'running' ? { reason: 'browser_crashed' } : {});
    this.serve(w);
    return ['ok'];
  }
  release(id, project, reason, worker, epoch) {
    const s = this.sessions.get(id);
    if (!s || (project && s.project !== project)) return ['not_found'];
    if (worker && (s.worker !== worker || s.epoch !== epoch)) return ['stale_epoch'];
    this.finish(s, reason);
    return ['ok', this.flat(s)];
  }
  cancel(id, project) {
    const s = this.sessions.get(id);
    if (!s || (project && s.project !== project)) return ['not_found'];
    if (s.state !== 'ending' && s.state !== 'ended' && !s.adopted) {
      const key = `${s.project}:${s.idem}`;
      if (s.idem && this.idem.get(key)?.[0] === id) this.idem.delete(key);
      this.finish(s, 'cancelled');
    }
    return ['ok', this.flat(s)];
  }
  drain(id, action, epoch) {
    const w = this.workers.get(id);
    if (!w || w.state === 'lost') return ['unknown_worker'];
    if (epoch && text(w.epoch) !== epoch) return ['stale_epoch'];
    const left = () => this.count(w, 'taken') + this.count(w, 'starting') + this.count(w, 'cleaning');
    if (action === 'leave') {
      if (left()) return ['not_empty', left()];
      this.workers.delete(id);
      return ['ok', 'gone', 0];
    }
    if (action === 'drain' && w.state === 'ready') {
      w.state = 'draining';
      w.berths.forEach((b, i) => {
        if (b.state !== 'warm') return;
        this.set(w, i, 'cleaning', { secret: '', timings: '' });
        this.job(w, 'stop', { berth: text(i), turn: text(b.turn), session: '', profile: b.profile, reason: 'drained' });
      });
      this.job(w, 'drain', {});
    } else if (action === 'undrain' && w.state === 'draining') {
      w.state = 'ready';
      this.job(w, 'undrain', {});
      this.serve(w);
    }
    return ['ok', w.state, left()];
  }
  limits(project, concurrency, queue) {
    const given = Object.entries({ concurrency, queue }).filter(([, v]) => v !== '');
    if (given.length) {
      const { limits } = this.project(project);
      for (const [k, v] of given) v === '-' ? delete limits[k] : (limits[k] = text(Number(v)));
    }
    return ['ok', this.projectHash(project) ?? {}];
  }
  get(id, project) {
    const s = this.sessions.get(id);
    return !s || (project && s.project !== project) ? ['not_found'] : ['ok', this.position(s), this.flat(s)];
  }
  sweep(lease, slice, placement) {
    const most = Number(slice);
    const gap = this.now - (this.swept ?? 0) > Math.max(3000, Number(lease) / 3);
    this.swept = this.now;
    if (gap) this.grace = this.now + Number(lease);
    const judge = this.now >= (this.grace ?? 0);
    let done = 0;
    const byLease = [...this.workers.values()].sort((a, b) => a.lease - b.lease || (a.id < b.id ? -1 : 1));
    if (judge) {
      const over = byLease.filter((w) => w.state !== 'lost' && w.lease <= this.now).slice(0, most);
      over.forEach((w) => this.mark(w));
      done = over.length;
    }
    for (const w of byLease.filter((x) => x.state === 'lost').sort(by((x) => x.id))) {
      if (done < most) done += this.lose(w, most - done, placement);
    }
    const due = [...this.live].filter((s) => Number(s.deadline) <= this.now)
      .sort((a, b) => Number(a.deadline) - Number(b.deadline) || (a.id < b.id ? -1 : 1)).slice(0, Math.max(0, most - done));
    for (const s of due) {
      if (s.state === 'queued') this.finish(s, 'queue_timeout');
      else if (s.state === 'running') this.finish(s, 'timeout');
      else if (s.state === 'ending') {
        s.deadline = this.now + 15000;
        this.job(this.workers.get(s.worker), 'stop', {
          berth: s.berth, turn: s.turn, session: s.id, profile: s.profile, reason: s.reason,
        });
      } else if (!judge) s.deadline = this.grace;
      else this.finish(s, 'start_failed', 'the browser did not start in time');
    }
    done += due.length;
    return ['ok', done, done >= most ? 1 : 0];
  }

  // ---- what Redis has to hold ----
  projectHash(id) {
    const p = this.projects.get(id);
    if (!p) return null;
    const hash = { ...p.limits };
    for (const [profile, tag] of Object.entries(p.tags)) hash[`tag:${profile}`] = text(tag);
    for (const state of p.seen) hash[state] = text(this.inState(state, id).length);
    return Object.keys(hash).length ? hash : null;
  }
  workerHash(w) {
    const { id, state, gateway, driver, info, pressure, cpu, mem, load, crashes, registered, seen } = w;
    const hash = { id, state, gateway, driver, info, pressure, cpu, mem, load, crashes, registered, seen };
    Object.assign(hash, { epoch: text(w.epoch), profiles: w.profiles.join(','), capacity: text(this.capacity(w)) });
    for (const s of ['free', 'starting', 'warm', 'taken', 'cleaning']) hash[s] = text(this.count(w, s));
    return hash;
  }
  // In the shape of readDump: everything but ended sessions (of those only what this step touched) and ids of stream entries.
  state() {
    const out = { cell: {}, leases: {}, workers: {}, carried: [], profiles: {}, known: [], projects: {}, deadlines: {}, sessions: {} };
    const workers = [...this.workers.values()];
    if (this.epoch) out.cell.epoch = text(this.epoch);
    if (this.queuedSeen) out.cell.queued = text(this.inState('queued').length);
    if (this.swept !== null) out.cell.swept = text(this.swept);
    if (this.grace !== null) out.cell.grace_until = text(this.grace);
    let keys = this.sessions.size + this.idem.size;
    for (const w of workers) {
      out.leases[w.id] = text(w.lease);
      const berths = {};
      w.berths.forEach((b, i) => b && (berths[i] = [b.state, b.turn, b.profile, b.session, b.secret, b.timings].join('|')));
      out.workers[w.id] = { hash: this.workerHash(w), berths, free: w.free.map(text), jobs: w.jobs };
      keys += 3 + (w.free.length ? 1 : 0);
    }
    for (const p of this.profiles) {
      const carrying = workers.filter((w) => w.profiles.includes(p));
      const open = carrying.filter((w) => this.open(w));
      const zset = (list) => Object.fromEntries(list.filter(([, n]) => n > 0).map(([k, n]) => [k, text(n)]));
      const it = {
        warm: zset(this.warm(p).map((c) => [c.member, c.w.epoch])), room: zset(open.map((w) => [w.id, this.count(w, 'free')])),
        spare: zset(open.map((w) => [w.id, this.spare(w, p)])), queue: Object.fromEntries(this.queue(p).map((s) => [s.id, s.tag])),
        carriers: carrying.filter((w) => w.state === 'ready').map((w) => w.id).sort(),
      };
      out.profiles[p] = it;
      for (const part of Object.values(it)) if (Object.keys(part).length) keys++;
      if (carrying.length) out.cell[`workers:${p}`] = text(carrying.length);
      if (this.vtime[p]) out.cell[`vtime:${p}`] = text(this.vtime[p]);
      if (carrying.length || this.queue(p).length) out.carried.push(p);
    }
    out.carried.sort();
    for (const p of this.projectNames) {
      const hash = this.projectHash(p);
      if (hash) out.known.push(p);
      const states = LIVE.map((state) => Object.fromEntries(this.inState(state, p).map((s) => [s.id, s.created])));
      const ended = this.endedCount[p] ?? 0;
      out.projects[p] = { hash: hash ?? {}, states, ended };
      keys += (hash ? 1 : 0) + states.filter((s) => Object.keys(s).length).length + (ended ? 1 : 0);
    }
    out.known.sort();
    for (const s of this.live) {
      out.deadlines[s.id] = text(s.deadline);
      out.sessions[s.id] = this.flat(s);
    }
    for (const [id] of this.events) out.sessions[id] = this.flat(this.sessions.get(id));
    out.events = this.events;
    const some = (o) => (Array.isArray(o) ? o.length : Object.keys(o).length) > 0;
    const singles = [out.cell, out.leases, out.carried, out.known, out.deadlines].filter(some).length;
    out.keys = keys + singles + (this.sessions.size ? 1 : 0);
    return out;
  }
}

// A dump (test/lua/dump.lua) in the shape of Model.state. Also gives the ids of jobs and of the last event.
export function readDump(json, lastEvent) {
  const d = JSON.parse(json);
  const list = (x) => (Array.isArray(x) ? x : []);
  const map = (x) => {
    const o = {};
    const l = list(x);
    for (let i = 0; i < l.length; i += 2) o[l[i]] = l[i + 1];
    return o;
  };
  const each = (o, f) => Object.fromEntries(Object.entries(o).map(([k, v]) => [k, f(v)]));
  const jobIds = each(d.workers, (w) => list(w.jobs).map(([id]) => id));
  const events = list(d.events);
  const state = {
    cell: map(d.cell), leases: map(d.leases),
    workers: each(d.workers, (w) => ({
      hash: map(w.hash), berths: map(w.berths), free: list(w.free), jobs: list(w.jobs).map(([, f]) => map(f)),
    })),
    carried: list(d.carried).sort(),
    profiles: each(d.profiles, (p) => ({
      warm: map(p.warm), room: map(p.room), spare: map(p.spare), queue: map(p.queue), carriers: list(p.carriers).sort(),
    })),
    known: list(d.known).sort(),
    projects: each(d.projects, (p) => ({ hash: map(p.hash), states: list(p.states).map(map), ended: p.ended })),
    deadlines: map(d.deadlines), sessions: each(d.sessions, map),
    events: events.map(([, f]) => [f[1], f[3], f[5], f[7], f[9], f[11], f[13]]), keys: d.keys,
  };
  return { state, jobIds, lastEvent: events.length ? events[events.length - 1][0] : lastEvent };
}

// Whether two values are alike: undefined counts as absent, the order of keys does not count.
export function alike(a, b) {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || !a || !b) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a)) return a.length === b.length && a.every((x, i) => alike(x, b[i]));
  let n = 0;
  for (const k in a) {
    if (!alike(a[k], b[k])) return false;
    n++;
  }
  for (const k in b) n--;
  return n === 0;
}

export { DAY, LIVE };
