// Shows that the randomised test finds mistakes: each line below breaks a copy of the scripts in one place, and must be caught
// within 2,000 steps.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis, assemble, load, root } from './fixture.mjs';
import { runs } from './random.mjs';

const MUTATIONS = [
  ['a count is not taken back', 'include/session.lua', "key.project(s.project), from, -1)", "key.project(s.project), from, 0)"],
  ['a session stays in the index of its old state', 'include/session.lua', "redis.call('ZREM', key.sessions(s.project, from), s.id)", ''],
  ['an ended session keeps its deadline', 'include/session.lua', "redis.call('ZREM', key.deadlines(), s.id)", ''],
  ['a turn is used twice', 'include/berths.lua', 'b.turn + 1', 'b.turn'],
  ['a freed berth is not given back', 'include/berths.lua', "redis.call('RPUSH', key.free(w.id), i)", ''],
  ['a claimed berth stays warm', 'include/berths.lua', "redis.call('ZREM', key.warm(profile), w.id .. '/' .. i)", ''],
  ['a warm berth may not be evicted', 'include/berths.lua', 'worker.respare(w, b.profile, 1)', ''],
  ['old epochs may speak', 'include/worker.lua', 'w.epoch ~= epoch', 'false'],
  ['a draining worker stays in room', 'include/worker.lua', 'if open and w.free > 0 then', 'if w.free > 0 then'],
  ['pressure is overlooked', 'include/worker.lua', "w.state == 'ready' and w.pressure == '0'", "w.state == 'ready'"],
  ['the queue is last come first served', 'include/queue.lua', "'ZRANGE', key.queue(profile), 0, 0", "'ZREVRANGE', key.queue(profile), 0, 0"],
  ['virtual time stands still', 'include/queue.lua', "redis.call('HSET', key.cell(), 'vtime:' .. s.profile, s.tag)", ''],
  ['an abandoned waiter costs a turn', 'include/queue.lua', 'session.number(s.tag - 1)', 's.tag'],
  ['no stop job is sent', 'include/finish.lua', 'jobs.stop(w, s.berth, b.turn, b.profile, s.id, reason)', ''],
  ['a lost session runs on', 'include/lose.lua', "session.move(s, 'ended', now, { reason = 'worker_lost' })", ''],
  ['attempts are not bounded', 'include/place.lua', 'tonumber(s.attempts) >= place.attempts', 'false'],
  ['a waiter has no turn of its own', 'include/queue.lua', 'math.max(tag, last) + 1', 'tag + 1'],
  ['the limit is off by one', 'admit.lua', 'used >= concurrency', 'used > concurrency'],
  ['a repeated create makes another', 'admit.lua', "if redis.call('EXISTS', key.session(id)) == 1 then", 'if false then'],
  ['freed serves nobody', 'freed.lua', 'serve.worker(w, now)', ''],
  ['an old turn is freed', 'freed.lua', 'b.turn ~= ARGV[5]', 'false'],
  ['ready revives a released session', 'ready.lua', "if b.session ~= id or b.state ~= 'starting' then", 'if b.session ~= id then'],
  ['a draining worker offers', 'offer.lua', "if w.state ~= 'ready' then", 'if false then'],
  ['workers are judged without grace', 'sweep.lua', 'if now >= grace_until then', 'if true then'],
  ['cancel keeps the idempotency key', 'cancel.lua', "redis.call('DEL', at)", "redis.call('EXISTS', at)"],
];

let server;
let db = 0;
before(async () => {
  server = await startRedis();
});
after(() => server.stop());

for (const [what, file, from, to] of MUTATIONS) {
  test(what, async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-mutation-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    cpSync(join(root, 'lua'), dir, { recursive: true });
    const text = readFileSync(join(dir, file), 'utf8');
    assert.ok(text.includes(from), `${file} has no ${from}`);
    writeFileSync(join(dir, file), text.replace(from, to));
    const scripts = assemble(dir);
    db = (db % 60) + 1;
    await load(await server.connect(), scripts);
    let caught = null;
    await runs(() => server.connect(db), scripts, 1, 2000, 1).catch((e) => (caught = e));
    assert.ok(caught, 'not caught in 2,000 steps');
    t.diagnostic(`seed ${caught.seed} step ${caught.step}: ${caught.message.split('\n').slice(0, 2).join(' ').slice(0, 200)}`);
  });
}
