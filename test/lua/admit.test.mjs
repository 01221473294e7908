// lua/admit.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, flat, T } from './cell.mjs';

suite('admit', (it) => {
  it('claims a warm berth: the session runs', async (c) => {
    await c.worker('w1', 2, 'a,b');
    const [i, turn] = await c.set('reserve', 'w1', '1', 'a');
    await c.set('offer', 'w1', '1', i, turn, 'a', 'f00d', '{"ms":80}', 'pack');
    const reply = await c.expect('admit', c.admission('c0-s', { meta: '{"x":1}', idle: 9000, keep: 1 }), ['ok', 0, 0], `
      + deadlines: c0-s 1060000
      + events
      + project:p: running 1
      + projects: p in
      + session:c0-s: attempts 0, berth 0, created 1000000, epoch 1, expires 1060000, gateway http://w1, id c0-s,
      & idle_ms 9000, keep_alive 1, meta {"x":1}, profile a, project p, queue_deadline 1020000, running 1000000,
      & secret f00d, start_ms 5000, state running, timeout_ms 60000, timings {"ms":80}, turn 1, warm 1, worker w1
      + sessions:p:running: c0-s 1000000
      - spare:b
      - warm:a
      berths:w1: 0 warm|1|a||f00d|{"ms":80} → taken|1|a|c0-s|f00d|{"ms":80}
      events << session=c0-s project=p to=running worker=w1 berth=0
      jobs:w1 << kind=claim epoch=1 berth=0 turn=1 session=c0-s profile=a timeout_ms=60000 idle_ms=9000 keep_alive=1
      worker:w1: taken 0 → 1, warm 1 → 0
    `);
    assert.deepEqual(flat(reply[3]), await c.session('c0-s'));
  });

  it('takes no more than 16 commands to claim a warm berth', async (c) => {
    await c.worker('w1', 2);
    await c.warm('w1', 1);
    await c.admit('c0-first');
    await c.warm('w1', 1);
    const count = async () => Object.fromEntries((await c.redis.info('commandstats')).split('\r\n').filter((l) => l.startsWith('cmdstat_'))
      .map((l) => [l.slice(8).split(':')[0], Number(l.match(/calls=(\d+)/)[1])]));
    const before = await count();
    await c.admit('c0-s');
    const after = await count();
    const own = ['fcall', 'info'];
    const calls = Object.keys(after).filter((k) => !own.includes(k)).reduce((n, k) => n + after[k] - (before[k] ?? 0), 0);
    assert.ok(calls <= 16, `${calls} commands`);
  });

  it('starts a browser in a free berth when none is warm', async (c) => {
    await c.worker('w1', 2, 'a,b');
    const reply = await c.expect('admit', c.admission('c0-s', { profile: 'b' }), ['ok', 0, 0], `
      + deadlines: c0-s 1005000
      + events
      + project:p: starting 1
      + projects: p in
      + session:c0-s: attempts 1, berth 0, created 1000000, epoch 1, gateway http://w1, id c0-s, idle_ms 0, keep_alive
      & 0, profile b, project p, queue_deadline 1020000, start_ms 5000, starting 1000000, state starting, timeout_ms
      & 60000, turn 1, warm 0, worker w1
      + sessions:p:starting: c0-s 1000000
      berths:w1: 0 free|0|||| → starting|1|b|c0-s||
      events << session=c0-s project=p to=starting worker=w1 berth=0
      free:w1: 0 1 → 1
      jobs:w1 << kind=start epoch=1 berth=0 turn=1 session=c0-s profile=b timeout_ms=60000 idle_ms=0 keep_alive=0
      room:a: w1 2 → 1
      room:b: w1 2 → 1
      worker:w1: free 2 → 1, starting 0 → 1
    `);
    assert.deepEqual(flat(reply[3]), await c.session('c0-s'));
  });

  it('evicts another profile\'s warm berth when none is free', async (c) => {
    await c.worker('w1', 1, 'a,b');
    await c.warm('w1', 1);
    await c.expect('admit', c.admission('c0-s', { profile: 'b' }), ['ok', 0, 0], `
      + deadlines: c0-s 1005000
      + events
      + project:p: starting 1
      + projects: p in
      + session:c0-s: attempts 1, berth 0, created 1000000, epoch 1, gateway http://w1, id c0-s, idle_ms 0, keep_alive
      & 0, profile b, project p, queue_deadline 1020000, start_ms 5000, starting 1000000, state starting, timeout_ms
      & 60000, turn 2, warm 0, worker w1
      + sessions:p:starting: c0-s 1000000
      - spare:b
      - warm:a
      berths:w1: 0 warm|1|a||f00d| → starting|2|b|c0-s||
      events << session=c0-s project=p to=starting worker=w1 berth=0
      jobs:w1 << kind=start epoch=1 berth=0 turn=2 session=c0-s profile=b timeout_ms=60000 idle_ms=0 keep_alive=0
      worker:w1: starting 0 → 1, warm 1 → 0
    `);
  });

  it('finds the one berth to evict among others that do not help', async (c) => {
    for (const n of [1, 2, 3]) await c.worker(`only-a${n}`, 1, 'a');
    for (const n of [1, 2, 3]) await c.warm(`only-a${n}`, n);
    await c.worker('both', 1, 'a,b');
    await c.warm('both', 4);
    assert.equal((await c.admit('c0-s', { profile: 'b' })).worker, 'both');
    await c.clean();
  });

  it('queues when there is no place, with its position', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.expect('admit', c.admission('c0-x'), ['ok', 1, 0], `
      + queue:a: c0-x 1
      + session:c0-x: attempts 0, created 1000000, id c0-x, idle_ms 0, keep_alive 0, profile a, project p,
      & queue_deadline 1020000, queued 1000000, start_ms 5000, state queued, tag 1, timeout_ms 60000
      + sessions:p:queued: c0-x 1000000
      cell: queued - → 1
      deadlines: c0-x - → 1020000
      events << session=c0-x project=p to=queued
      project:p: queued - → 1, tag:a - → 1
    `);
    await c.expect('admit', c.admission('c0-y'), ['ok', 2, 0], `
      + session:c0-y: attempts 0, created 1000000, id c0-y, idle_ms 0, keep_alive 0, profile a, project p,
      & queue_deadline 1020000, queued 1000000, start_ms 5000, state queued, tag 2, timeout_ms 60000
      cell: queued 1 → 2
      deadlines: c0-y - → 1020000
      events << session=c0-y project=p to=queued
      project:p: queued 1 → 2, tag:a 1 → 2
      queue:a: c0-y - → 2
      sessions:p:queued: c0-y - → 1000000
    `);
  });

  it('queues fairly: one of another project comes second, not last', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    for (const id of ['c0-a', 'c0-b', 'c0-c']) await c.admit(id, { project: 'many' });
    assert.equal((await c.call('admit', ...c.admission('c0-d', { project: 'one' })))[1], 2);
    assert.deepEqual(await c.redis.zrange('berth:{c0}:queue:a', 0, -1), ['c0-a', 'c0-d', 'c0-b', 'c0-c']);
  });

  it('answers a repeated call with the session as it is, and changes nothing', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x');
    const again = await c.idle('admit', c.admission('c0-s'), ['ok', 0, 1]);
    assert.equal(flat(again[3]).state, 'starting');
    await c.idle('admit', c.admission('c0-x'), ['ok', 1, 1]);
    await c.idle('admit', c.admission('c0-s', { project: 'other' }), ['bad_argument', '2']);
  });

  it('gives the same session for the same idempotency key and body', async (c) => {
    await c.worker('w1', 2);
    await c.expect('admit', c.admission('c0-s', { idem: 'key 1', body: 'abc' }), ['ok', 0, 0], `
      + deadlines: c0-s 1005000
      + events
      + idem:p:key 1: c0-s abc, (ttl) 24 h
      + project:p: starting 1
      + projects: p in
      + session:c0-s: attempts 1, berth 0, created 1000000, epoch 1, gateway http://w1, id c0-s, idem key 1, idle_ms
      & 0, keep_alive 0, profile a, project p, queue_deadline 1020000, start_ms 5000, starting 1000000, state
      & starting, timeout_ms 60000, turn 1, warm 0, worker w1
      + sessions:p:starting: c0-s 1000000
      berths:w1: 0 free|0|||| → starting|1|a|c0-s||
      events << session=c0-s project=p to=starting worker=w1 berth=0
      free:w1: 0 1 → 1
      jobs:w1 << kind=start epoch=1 berth=0 turn=1 session=c0-s profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      room:a: w1 2 → 1
      worker:w1: free 2 → 1, starting 0 → 1
    `);
    const again = await c.expect('admit', c.admission('c0-t', { idem: 'key 1', body: 'abc' }), ['ok', 0, 1], `
      session:c0-s: adopted - → 1
    `);
    assert.equal(flat(again[3]).id, 'c0-s');
    await c.idle('admit', c.admission('c0-t', { idem: 'key 1', body: 'abc' }), ['ok', 0, 1]);
    await c.idle('admit', c.admission('c0-t', { idem: 'key 1', body: 'abd' }), ['idempotency_mismatch']);
    assert.equal((await c.call('admit', ...c.admission('c0-u', { idem: 'key 1', body: 'abd', project: 'q' })))[2], 0);
  });

  it('makes a new one when the key\'s session ended before it ran', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x', { idem: 'k', body: 'abc' });
    await c.set('release', 'c0-x', 'p', 'queue_timeout', '', '');
    assert.equal((await c.call('admit', ...c.admission('c0-y', { idem: 'k', body: 'abd' })))[2], 0);
    assert.equal(await c.redis.get('berth:{c0}:idem:p:k'), 'c0-y abd');
  });

  it('makes a new one when the key\'s session is forgotten', async (c) => {
    await c.worker('w1', 2);
    await c.redis.set('berth:{c0}:idem:p:k', 'c0-gone abc');
    assert.equal((await c.call('admit', ...c.admission('c0-s', { idem: 'k', body: 'abc' })))[2], 0);
    assert.equal(await c.redis.get('berth:{c0}:idem:p:k'), 'c0-s abc');
  });

  it('holds the limit of sessions: the API\'s, or the project\'s own; ending ones do not count', async (c) => {
    await c.worker('w1', 2);
    await c.admit('c0-s', { concurrency: 1 });
    await c.idle('admit', c.admission('c0-t', { concurrency: 1 }), ['concurrency_limit', 1, 1]);
    await c.set('limits', 'p', '2', '');
    await c.admit('c0-t', { concurrency: 1 });
    await c.idle('admit', c.admission('c0-u', { concurrency: 9 }), ['concurrency_limit', 2, 2]);
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.admit('c0-u');
    await c.idle('admit', c.admission('c0-v'), ['concurrency_limit', 2, 2]);
    await c.set('limits', 'p', '0', '');
    await c.admit('c0-v');
  });

  it('bounds the queue, of a project and in all', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.idle('admit', c.admission('c0-x', { queue: 0 }), ['project_queue_full', 0, 0]);
    await c.admit('c0-x', { queue: 1 });
    await c.idle('admit', c.admission('c0-y', { queue: 1 }), ['project_queue_full', 1, 1]);
    await c.idle('admit', c.admission('c0-y', { project: 'q', total: 1 }), ['queue_full', 1, 1]);
    await c.set('limits', 'p', '', '2');
    await c.admit('c0-y', { queue: 1 });
  });

  it('says when no ready worker carries the profile', async (c) => {
    await c.idle('admit', c.admission('c0-s'), ['no_worker']);
    await c.worker('w1', 1);
    await c.idle('admit', c.admission('c0-s', { profile: 'b' }), ['no_worker']);
    await c.set('drain', 'w1', 'drain', '', 'pack');
    await c.idle('admit', c.admission('c0-s'), ['no_worker']);
  });

  it('packs cold starts where least is free, and warm ones by age of the worker', async (c) => {
    await c.worker('w1', 3);
    await c.worker('w2', 2);
    assert.equal((await c.admit('c0-a', { placement: 'pack' })).worker, 'w2');
    await c.redis.flushdb();
    await c.worker('w2', 2);
    await c.worker('w1', 2);
    await c.warm('w1', 2);
    await c.warm('w2', 1);
    assert.equal((await c.admit('c0-b', { placement: 'pack' })).worker, 'w2');
  });

  it('spreads warm claims over the workers', async (c) => {
    for (const n of [1, 2]) {
      await c.worker(`w${n}`, 6);
      for (let i = 0; i < 6; i++) await c.warm(`w${n}`, n);
    }
    const used = new Set();
    for (const id of ['qa', 'wb', 'ec', 'rd', 'te', 'yf']) used.add((await c.admit(`c0-${id}`, { placement: 'spread' })).worker);
    assert.deepEqual([...used].sort(), ['w1', 'w2']);
    await c.clean();
  });

  it('prefers the worker that starts fewest browsers, then the idlest', async (c) => {
    await c.worker('w1', 4);
    await c.worker('w2', 8);
    await c.worker('w3', 9);
    await c.set('reserve', 'w1', '1', 'a');
    await c.set('heartbeat', 'w2', '2', '10000', '0', '70', '0', '0', '0', 'pack');
    await c.set('heartbeat', 'w3', '3', '10000', '0', '20', '0', '0', '0', 'pack');
    assert.equal((await c.admit('c0-a', { placement: 'pack' })).worker, 'w3');
    assert.equal((await c.admit('c0-b', { placement: 'spread' })).worker, 'w2');
  });

  it('takes the time from Redis when none is given', async (c) => {
    await c.worker('w1', 1);
    const reply = await c.at(0, 'admit', ...c.admission('c0-s'));
    const s = flat(reply[3]);
    assert.ok(Math.abs(Number(s.created) - Date.now()) < 60000);
    assert.match(s.created, /^\d{13}$/);
    assert.equal(Number(s.queue_deadline), Number(s.created) + 20000);
  });

  it('refuses wrong arguments', async (c) => {
    await c.worker('w1', 1);
    const wrong = (n, o, session = 'c0-s') => c.idle('admit', c.admission(session, o), ['bad_argument', String(n)]);
    await wrong(2, {}, 's');
    await wrong(2, {}, 'c0-S');
    await wrong(3, { project: '' });
    await wrong(3, { project: 'a:b' });
    await wrong(4, { profile: 'x'.repeat(65) });
    await wrong(5, { timeout: 0 });
    await wrong(5, { timeout: '1e3' });
    await wrong(6, { idle: '-1' });
    await wrong(7, { keep: 2 });
    await wrong(8, { wait: '0x10' });
    await wrong(10, { placement: 'any' });
    await wrong(11, { concurrency: '' });
    await wrong(14, { meta: 'x'.repeat(65537) });
    await wrong(15, { idem: 'x'.repeat(256) });
    await wrong(16, { body: 'a b' });
  });
});
