// lua/audit.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, T } from './cell.mjs';

const P = 'berth:{c0}:';

// Every state of sessions and berths: w1 has c0-runs (berth 0), c0-ends (1), c0-starts (2), a warm berth of b (3) under
// pressure, and a free one (4); c0-waits waits; w2 is free and carries b only.
async function scene(c) {
  await c.worker('w1', 5, 'a,b');
  await c.warm('w1', 1);
  await c.admit('c0-runs');
  await c.warm('w1', 1);
  await c.admit('c0-ends');
  await c.set('release', 'c0-ends', '', 'released', '', '');
  await c.admit('c0-starts');
  await c.warm('w1', 1, 'b');
  await c.set('heartbeat', 'w1', '1', '10000', '1', '0', '0', '0', '0', 'pack');
  await c.admit('c0-waits');
  await c.worker('w2', 1, 'b');
  await c.admit('c0-done', { profile: 'b', project: 'q' }); // the warm one of w1
  await c.set('freed', 'w1', '1', '3', '1', 'pack');
  await c.set('reserve', 'w1', '1', 'b');
  await c.set('offer', 'w1', '1', '4', '1', 'b', 'f00d', '', 'pack');
  await c.clean();
}

async function findings(c) {
  return (await c.call('audit', '0', '1000000'))[3];
}

// What is broken, how, and the findings that must be among those that audit has.
const BROKEN = [
  ['a worker\'s count', [['hset', 'worker:w1', 'free', '2']], /^1 .*worker:w1 .*free is 2, should be 1/, /^1 .*sum of the states is 6, should be 5/],
  ['a worker\'s capacity', [['hset', 'worker:w1', 'capacity', '6']], /^1 .*number of berths is 5, should be 6/],
  ['a berth that is gone', [['hdel', 'berths:w1', '3']], /^1 .*number of berths is 4, should be 5/],
  ['the free list lacks one', [['del', 'free:w1']], /^index .*berths:w1 .*free:w1: berth 3 on the free list is absent/],
  ['the free list has one that is taken', [['rpush', 'free:w1', '0']], /^index .*berth 0 on the free list is true/],
  ['the free list has one twice', [['rpush', 'free:w2', '0']], /^index .*free:w2: berth 0 is in it twice/],
  ['two berths with one session', [['hset', 'berths:w1', '3', 'taken|1|a|c0-runs|f00d|']], /^3 .*berth 3 is taken .*its session is running on w1 berth 0/],
  ['a berth taken by nobody', [['hset', 'berths:w1', '0', 'taken|1|a||f00d|']], /^3 .*berth 0 is taken by nobody/, /^3 .*session:c0-runs .*its berth 0 has/],
  ['a berth taken by a session that is gone', [['del', 'session:c0-runs']], /^3 .*berth 0 is taken turn 1; its session is - on -/, /^index .*deadlines .*c0-runs: not a live session/],
  ['a session that points to another turn', [['hset', 'session:c0-runs', 'turn', '9']], /^3 .*berth 0 is taken turn 1; .*turn 9/],
  ['a session in a state that does not fit its berth', [['hset', 'session:c0-starts', 'state', 'running']], /^3 .*berth 2 is starting/, /^2 .*session:c0-starts .*sessions:p:running/],
  ['a session on a worker that is gone', [['del', 'worker:w1']], /^3 .*session:c0-runs/, /^index .*workers .*worker:w1: no such worker/],
  ['a project\'s count', [['hincrby', 'project:p', 'running', 1]], /^4 .*project:p .*sessions:p:running: running is 2, should be 1/],
  ['an index that lacks a session', [['zrem', 'sessions:p:running', 'c0-runs']], /^2 .*session:c0-runs .*sessions:p:running/, /^4 .*running is 1, should be 0/],
  ['an index with a foreign session', [['zadd', 'sessions:q:queued', T, 'c0-waits']], /^4 .*sessions:q:queued .*session:c0-waits: the session is queued of p/],
  ['a session in two indices', [['zadd', 'sessions:p:starting', T, 'c0-runs']], /^2 .*session:c0-runs .*sessions:p:starting/],
  ['a queue that lacks a session', [['zrem', 'queue:a', 'c0-waits']], /^5 .*queue:a .*session:c0-waits: tag is absent, should be 1/, /^5 .*cell .*queued is 1, should be 0/],
  ['a queue with a session that runs', [['zadd', 'queue:a', 7, 'c0-runs']], /^5 .*queue:a .*session:c0-runs: not a session that waits/, /^5 .*tag is 7, should be absent/],
  ['a tag that differs', [['zadd', 'queue:a', 7, 'c0-waits']], /^5 .*tag is 7, should be 1/],
  ['the cell\'s count', [['hset', 'cell', 'queued', '0']], /^5 .*cell .*queued is 0, should be 1/],
  ['a warm index that lacks a berth', [['zrem', 'warm:b', 'w1/4']], /^index .*warm:b .*w1\/4 is absent, should be 1/],
  ['a warm index with a berth that is taken', [['zadd', 'warm:a', 1, 'w1/0']], /^index .*warm:a .*w1\/0 is not a warm berth/, /^index .*queue:a .*a session waits although there is a place/],
  ['room that has a worker under pressure', [['zadd', 'room:b', 1, 'w1']], /^index .*room:b .*worker:w1: not an open worker/],
  ['room with a wrong number', [['zadd', 'room:b', 3, 'w2']], /^index .*room:b .*worker:w2: w2 is 3, should be 1/],
  ['room that lacks a worker', [['zrem', 'room:b', 'w2']], /^index .*room:b .*w2 is absent, should be 1/],
  ['spare that has a worker under pressure', [['zadd', 'spare:a', 1, 'w1']], /^index .*spare:a .*worker:w1: not an open worker/],
  ['carriers that lack a worker', [['srem', 'carriers:b', 'w2']], /^index .*carriers:b .*w2 is 0, should be 1/],
  ['carriers with a stranger', [['sadd', 'carriers:b', 'w9']], /^index .*carriers:b .*worker:w9: not a ready worker/, /^index .*workers:b is 2, carriers are 3/],
  ['a deadline for nobody', [['zadd', 'deadlines', T, 'c0-ghost']], /^index .*deadlines .*c0-ghost: not a live session/],
  ['a session without a deadline', [['zrem', 'deadlines', 'c0-runs']], /^2 .*session:c0-runs .*deadlines: running, without a deadline/],
  ['a worker without its stream', [['del', 'jobs:w2']], /^index .*jobs:w2: stream is 0, should be 1/],
  ['a worker without a lease', [['zrem', 'workers', 'w2']], /^index .*workers .*worker:w2: a worker without a lease/],
  ['an ended session that is not listed', [['del', 'sessions:q:ended']], /^index .*session:c0-done .*sessions:q:ended/],
  ['an ended session that stays for ever', [['persist', 'session:c0-done']], /^index .*session:c0-done: ended, but does not expire/],
  ['a project that is not listed', [['srem', 'projects', 'p']], /^index .*projects .*session:c0-runs: p is 0, should be 1/],
  ['a profile that is not listed', [['srem', 'profiles', 'b']], /^index .*profiles .*b is 0, should be 1/],
];

suite('audit', (it) => {
  it('finds nothing in a sound cell, nor in an empty one', async (c) => {
    assert.deepEqual((await c.call('audit', '0', '100')).filter((_, n) => n !== 2), ['ok', '0', []]);
    await scene(c);
    assert.deepEqual(await findings(c), []);
  });

  for (const [what, commands, ...should] of BROKEN) {
    it(`finds ${what}`, async (c) => {
      await scene(c);
      for (const [name, k, ...rest] of commands) await c.redis.call(name, P + k, ...rest);
      const found = await findings(c);
      for (const re of should) {
        assert.ok(found.some((f) => re.test(f)), `${re} is not in\n${found.join('\n')}`);
      }
      for (const f of found) assert.match(f, /^([1-5]|index) berth:\{c0\}:/, 'names an invariant and keys');
    });
  }

  it('finds what sweep should have done long ago, if somebody sweeps', async (c) => {
    await scene(c);
    c.now = T + 20000 + 61000;
    assert.deepEqual(await findings(c), []); // nobody sweeps: nothing to say of it
    await c.redis.hset(`${P}cell`, 'swept', c.now);
    assert.ok((await findings(c)).some((f) => /deadlines .*session:c0-waits: queued, overdue by 61000 ms/.test(f)));
  });

  it('finds the same in slices, each of them small', async (c) => {
    await scene(c);
    for (let n = 0; n < 40; n++) {
      const id = `c0-x${String.fromCharCode(97 + (n % 26))}${n < 26 ? 'a' : 'b'}`;
      await c.set('admit', ...c.admission(id, { project: `p${n % 7}`, total: 1000 }));
    }
    await c.redis.hset(`${P}cell`, 'queued', 1);
    await c.redis.zrem(`${P}deadlines`, 'c0-xab');
    await c.redis.hincrby(`${P}project:p6`, 'queued', 5);
    const whole = await findings(c);
    assert.equal(whole.length, 3);
    for (const slice of [1, 2, 7, 50]) {
      let cursor = '0';
      const found = [];
      let calls = 0;
      do {
        const [code, next, looked, list] = await c.call('audit', cursor, String(slice));
        assert.equal(code, 'ok');
        assert.ok(looked <= slice + 6, `looked at ${looked} of ${slice}`); // a worker's five berths come at once
        found.push(...list);
        cursor = next;
        assert.ok(++calls < 1000);
      } while (cursor !== '0');
      assert.deepEqual(found.sort(), [...whole].sort(), `slices of ${slice}`);
    }
  });

  it('makes no false findings when the cell changes between two slices', async (c) => {
    await scene(c);
    let cursor = '0';
    let n = 0;
    do {
      const [, next, , found] = await c.call('audit', cursor, '3');
      assert.deepEqual(found, []);
      cursor = next;
      n++;
      if (n % 3 === 0) await c.set('admit', ...c.admission(`c0-n${'abcdefghijklmnopqrstuvwxyz'[n % 26]}`, { project: `p${n % 5}` }));
      if (n % 4 === 0) await c.set('heartbeat', n % 8 ? 'w1' : 'w2', n % 8 ? '1' : '2', '10000', n % 3 ? '1' : '0', '0', '0', '0', '0', 'pack');
      if (n === 10) await c.set('release', 'c0-runs', '', 'released', '', '');
      if (n === 14) await c.set('freed', 'w1', '1', '1', '1', 'pack');
      if (n === 17) await c.worker('w3', 3, 'a');
    } while (cursor !== '0');
    assert.ok(n > 15);
  });

  it('changes nothing, and refuses what is no cursor', async (c) => {
    await scene(c);
    await c.idle('audit', ['0', '1000'], ['ok', '0']);
    await c.idle('audit', ['nonsense', '10'], ['bad_argument', '2']);
    await c.idle('audit', ['0', '0'], ['bad_argument', '3']);
  });
});
