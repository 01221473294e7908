// For the tests of single scripts: a cell in a private Redis, calls by name, and the whole keyspace compared before and after
// each call, so that a write that nobody expects fails the test.
import { describe, it, before, after, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { PREFIX, startRedis, assemble, load, call, unflat } from './fixture.mjs';

// The time of every call that does not say another one.
export const T = 1000000;

export const flat = unflat;

class Cell {
  constructor(redis, listener, scripts) {
    Object.assign(this, { redis, listener, scripts, heard: [], now: T, syncs: 0 });
    listener.on('pmessage', (_, channel, message) => this.hear(channel, message));
  }

  hear(channel, message) {
    if (channel === `${PREFIX}:sync`) this.synced?.();
    else this.heard.push(`${channel.slice(PREFIX.length + 1)} ! ${message}`);
  }

  // Waits until everything that was published before has been heard.
  async sync() {
    const done = new Promise((resolve) => (this.synced = resolve));
    await this.redis.publish(`${PREFIX}:sync`, '');
    await done;
  }

  at(time, verb, ...args) {
    return call(this.redis, this.scripts, verb, time, ...args);
  }

  call(verb, ...args) {
    return this.at(this.now, verb, ...args);
  }

  // Calls and insists on `ok`: to set the scene.
  async set(verb, ...args) {
    const reply = await this.call(verb, ...args);
    assert.equal(reply[0], 'ok', `${verb}: ${reply}`);
    return reply.slice(1);
  }

  // Every key: its members and their values; of a stream its entries.
  async snapshot() {
    const all = new Map();
    for (const full of (await this.redis.keys('*')).sort()) {
      assert.ok(full.startsWith(`${PREFIX}:`), `a key outside of the cell: ${full}`);
      const k = full.slice(PREFIX.length + 1);
      const type = await this.redis.type(full);
      let it;
      if (type === 'hash') it = await this.redis.hgetall(full);
      else if (type === 'zset') it = flat(await this.redis.zrange(full, 0, -1, 'WITHSCORES'));
      else if (type === 'set') it = Object.fromEntries((await this.redis.smembers(full)).map((m) => [m, 'in']));
      else if (type === 'list') it = { '': (await this.redis.lrange(full, 0, -1)).join(' ') };
      else if (type === 'string') it = { '': await this.redis.get(full) };
      else if (type === 'stream') it = { stream: await this.redis.xrange(full, '-', '+') };
      else assert.fail(`${full} is a ${type}`);
      const ttl = await this.redis.pttl(full);
      if (ttl > 0) it['(ttl)'] = `${Math.round(ttl / 3600000)} h`;
      all.set(k, { ...it });
    }
    return all;
  }

  // What changed between two snapshots, in a form for people. One line a key: `+ key` is new, `- key` is gone, else the members
  // that changed; a stream's new entries one by one.
  static difference(a, b) {
    const out = [];
    const show = (v) => (v === undefined ? '-' : v === '' ? "''" : v);
    for (const k of new Set([...a.keys(), ...b.keys()])) {
      const [x, y] = [a.get(k), b.get(k)];
      if (!y) out.push(`- ${k}`);
      else if (y.stream) out.push(...Cell.streamDifference(k, x, y));
      else if (!x) out.push(`+ ${k}: ${Object.keys(y).sort().map((m) => `${m} ${show(y[m])}`.trim()).join(', ')}`);
      else {
        const members = [...new Set([...Object.keys(x), ...Object.keys(y)])].sort().filter((m) => x[m] !== y[m]);
        if (members.length) out.push(`${k}: ${members.map((m) => `${m} ${show(x[m])} → ${show(y[m])}`.trim()).join(', ')}`);
      }
    }
    return out.sort();
  }

  static streamDifference(k, x, y) {
    const out = x ? [] : [`+ ${k}`];
    const old = new Set((x?.stream ?? []).map(([id]) => id));
    for (const [id, fields] of y.stream) {
      if (old.delete(id)) continue;
      const pairs = [];
      for (let i = 0; i < fields.length; i += 2) if (fields[i + 1] !== '') pairs.push(`${fields[i]}=${fields[i + 1]}`);
      out.push(`${k} << ${pairs.join(' ')}`);
    }
    for (let n = old.size; n > 0; n--) out.push(`${k} lost an entry`);
    return out;
  }

  // Calls, and compares the code (and further values that are given) and every change; then audit has to find nothing.
  // `changes` is as `difference` gives it, in any order; `& ` continues a long line.
  async expect(verb, args, answer, changes) {
    await this.sync();
    this.heard = [];
    const before_ = await this.snapshot();
    const reply = await this.call(verb, ...args);
    await this.sync();
    const is = [...Cell.difference(before_, await this.snapshot()), ...this.heard].sort();
    assert.deepEqual(reply.slice(0, answer.length), answer, `${verb} ${args.join(' ')} answers ${reply}`);
    const should = changes.replace(/\n\s*& /g, ' ').split('\n').map((l) => l.trim()).filter(Boolean).sort();
    assert.deepEqual(is, should, `${verb} ${args.join(' ')} changes\n${is.join('\n')}`);
    await this.clean();
    return reply;
  }

  // The call answers this and changes nothing.
  async idle(verb, args, answer) {
    return this.expect(verb, args, answer, '');
  }

  async clean() {
    const [, cursor, , findings] = await this.call('audit', '0', '1000000');
    assert.equal(cursor, '0');
    assert.deepEqual(findings, []);
  }

  // ---- scenes ----
  worker(id = 'w1', capacity = 2, profiles = 'a') {
    return this.set('register', id, '10000', String(capacity), profiles, `http://${id}`, 'sim', '{}', 'pack');
  }

  // A warm berth on a worker: its index and turn.
  async warm(id, epoch, profile = 'a', secret = 'f00d') {
    const [i, turn] = await this.set('reserve', id, epoch, profile);
    await this.set('offer', id, epoch, i, turn, profile, secret, '', 'pack');
    return [String(i), String(turn)];
  }

  // The arguments of admit, with what a test wants otherwise.
  admission(session, o = {}) {
    const d = {
      project: 'p', profile: 'a', timeout: 60000, idle: 0, keep: 0, wait: 20000, start: 5000, placement: 'pack', concurrency: 0, queue: 10,
      total: 100, meta: '', idem: '', body: '', ...o,
    };
    return [session, d.project, d.profile, d.timeout, d.idle, d.keep, d.wait, d.start, d.placement, d.concurrency, d.queue, d.total, d.meta,
      d.idem, d.body].map(String);
  }

  async admit(session, o) {
    return flat((await this.set('admit', ...this.admission(session, o)))[2]);
  }

  async session(id) {
    const s = await this.redis.hgetall(`${PREFIX}:session:${id}`);
    return s.id ? s : null;
  }

  async state(id) {
    return (await this.session(id))?.state;
  }

  hget(k, field) {
    return this.redis.hget(`${PREFIX}:${k}`, field);
  }
}

// A group of tests of one script. Each gets an empty cell.
export function suite(name, define) {
  describe(name, () => {
    let server;
    let cell;
    before(async () => {
      server = await startRedis();
      const scripts = assemble();
      const redis = await server.connect();
      const listener = await server.connect();
      await load(redis, scripts);
      await listener.psubscribe(`${PREFIX}:changed:*`, `${PREFIX}:sync`);
      cell = new Cell(redis, listener, scripts);
    });
    after(() => server?.stop());
    beforeEach(async () => {
      await cell.redis.flushdb();
      cell.now = T;
    });
    define((title, test) => it(title, async () => test(cell)));
  });
}
