// lua/sweep.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, T } from './cell.mjs';

const P = 'berth:{c0}:';

const sweep = (slice = 100) => ['10000', String(slice), 'pack'];

// Sweeps every second from `from` on until `to`, as the API does.
async function awake(c, to) {
  while (c.now < to) {
    await c.call('sweep', ...sweep());
    c.now = Math.min(to, c.now + 1000);
  }
}

suite('sweep', (it) => {
  it('finds nothing to do', async (c) => {
    await c.worker('w1', 1);
    await c.expect('sweep', sweep(), ['ok', 0, 0], `
      cell: grace_until - → 1010000, swept - → 1000000
    `);
    c.now += 1000;
    await c.expect('sweep', sweep(), ['ok', 0, 0], `
      cell: swept 1000000 → 1001000
    `);
  });

  it('ends who waited too long', async (c) => {
    await c.worker('w1', 1);
    await c.set('sweep', ...sweep());
    await c.admit('c0-s');
    await c.admit('c0-x', { wait: 2000 });
    c.now = T + 1999;
    await c.expect('sweep', sweep(), ['ok', 0, 0], `
      cell: swept 1000000 → 1001999
    `);
    c.now = T + 2000;
    await c.expect('sweep', sweep(), ['ok', 1, 0], `
      + sessions:p:ended: (ttl) 24 h, c0-x 1002000
      - queue:a
      - sessions:p:queued
      cell: queued 1 → 0, swept 1001999 → 1002000
      changed:c0-x ! ended
      deadlines: c0-x 1002000 → -
      events << session=c0-x project=p from=queued to=ended reason=queue_timeout
      project:p: queued 1 → 0, tag:a 1 → 0
      session:c0-x: (ttl) - → 24 h, ended - → 1002000, reason - → queue_timeout, state queued → ended
    `);
  });

  it('ends a session that ran its time, and tells the worker again until it confirms', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.admit('c0-s', { timeout: 2000 });
    await c.set('sweep', ...sweep());
    c.now = T + 2500;
    await c.expect('sweep', sweep(), ['ok', 1, 0], `
      + sessions:p:ending: c0-s 1000000
      - sessions:p:running
      berths:w1: 0 taken|1|a|c0-s|f00d| → cleaning|1|a|c0-s||
      cell: swept 1000000 → 1002500
      changed:c0-s ! ending
      deadlines: c0-s 1002000 → 1017500
      events << session=c0-s project=p from=running to=ending reason=timeout worker=w1 berth=0
      jobs:w1 << kind=stop epoch=1 berth=0 turn=1 session=c0-s profile=a reason=timeout
      project:p: ending - → 1, running 1 → 0
      session:c0-s: ending - → 1002500, reason - → timeout, state running → ending
      worker:w1: cleaning 0 → 1, taken 1 → 0
    `);
    await c.set('heartbeat', 'w1', '1', '60000', '0', '0', '0', '0', '0', 'pack');
    await awake(c, T + 17500);
    await c.expect('sweep', sweep(), ['ok', 1, 0], `
      cell: swept 1016500 → 1017500
      deadlines: c0-s 1017500 → 1032500
      jobs:w1 << kind=stop epoch=1 berth=0 turn=1 session=c0-s profile=a reason=timeout
    `);
  });

  it('ends a start that takes too long', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s', { start: 2000 });
    await awake(c, T + 1000);
    await c.set('heartbeat', 'w1', '1', '60000', '0', '0', '0', '0', '0', 'pack');
    await awake(c, T + 11000); // past the grace of the first sweep
    assert.equal(await c.state('c0-s'), 'ending');
    assert.equal((await c.session('c0-s')).reason, 'start_failed');
    await c.clean();
  });

  it('removes a worker whose lease is over: running ends, starting is placed again, ending ends', async (c) => {
    await c.worker('w1', 5, 'a,b');
    await c.warm('w1', 1);
    await c.admit('c0-runs');
    await c.warm('w1', 1);
    await c.admit('c0-ends');
    await c.set('release', 'c0-ends', '', 'idle', '', '');
    await c.admit('c0-starts', { start: 60000 });
    await c.warm('w1', 1, 'b');
    await awake(c, T + 9000);
    await c.worker('w2', 1);
    await awake(c, T + 10000);
    await c.expect('sweep', sweep(), ['ok', 6, 0], `
      + sessions:p:ended: (ttl) 24 h, c0-ends 1010000, c0-runs 1010000
      - berths:w1
      - carriers:b
      - free:w1
      - free:w2
      - jobs:w1
      - room:a
      - room:b
      - sessions:p:ending
      - sessions:p:running
      - spare:a
      - warm:b
      - worker:w1
      berths:w2: 0 free|0|||| → starting|1|a|c0-starts||
      carriers:a: w1 in → -
      cell: swept 1009000 → 1010000, workers:a 2 → 1, workers:b 1 → -
      changed:c0-ends ! ended
      changed:c0-runs ! ended
      changed:c0-starts ! starting
      deadlines: c0-ends 1015000 → -, c0-runs 1060000 → -, c0-starts 1060000 → 1070000
      events << session=c0-ends project=p from=ending to=ended reason=idle worker=w1 berth=1
      events << session=c0-runs project=p from=running to=ended reason=worker_lost worker=w1 berth=0
      events << session=c0-starts project=p from=starting to=starting worker=w2 berth=0
      jobs:w2 << kind=start epoch=2 berth=0 turn=1 session=c0-starts profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      profiles: b in → -
      project:p: ending 1 → 0, running 1 → 0
      session:c0-ends: (ttl) - → 24 h, ended - → 1010000, state ending → ended
      session:c0-runs: (ttl) - → 24 h, ended - → 1010000, reason - → worker_lost, state running → ended
      session:c0-starts: attempts 1 → 2, berth 2 → 0, epoch 1 → 2, gateway http://w1 → http://w2, starting 1000000 →
      & 1010000, worker w1 → w2
      worker:w2: free 1 → 0, starting 0 → 1
      workers: w1 1010000 → -
    `);
    await c.idle('sweep', sweep(), ['ok', 0, 0]);
  });

  it('puts a starting session of a lost worker back into the queue when there is no other', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s', { start: 60000 });
    await awake(c, T + 10000);
    await c.expect('sweep', sweep(), ['ok', 2, 0], `
      + queue:a: c0-s 0
      + sessions:p:queued: c0-s 1000000
      - berths:w1
      - carriers:a
      - jobs:w1
      - sessions:p:starting
      - worker:w1
      - workers
      cell: queued - → 1, swept 1009000 → 1010000, workers:a 1 → -
      changed:c0-s ! queued
      deadlines: c0-s 1060000 → 1020000
      events << session=c0-s project=p from=starting to=queued
      project:p: queued - → 1, starting 1 → 0
      session:c0-s: berth 0 → -, epoch 1 → -, gateway http://w1 → -, queued - → 1010000, starting 1000000 → -, state
      & starting → queued, tag - → 0, turn 1 → -, warm 0 → -, worker w1 → -
    `);
  });

  it('gives up a session after three lost workers', async (c) => {
    for (const n of [1, 2, 3]) {
      await c.worker(`w${n}`, 1);
      if (n === 1) await c.admit('c0-s', { start: 100000, wait: 100000 });
      assert.equal(await c.state('c0-s'), 'starting');
      await awake(c, c.now + 12000);
    }
    const s = await c.session('c0-s');
    assert.deepEqual([s.state, s.reason, s.attempts], ['ended', 'worker_lost', '3']);
    await c.clean();
  });

  it('takes a large worker apart over several calls; from the first on it gets nothing', async (c) => {
    await c.worker('w1', 6);
    await c.warm('w1', 1);
    for (const id of ['a', 'b']) await c.admit(`c0-${id}`, { start: 60000 });
    await awake(c, T + 10000);
    await c.expect('sweep', sweep(3), ['ok', 3, 1], `
      + queue:a: c0-b 0
      + sessions:p:ended: (ttl) 24 h, c0-a 1010000
      + sessions:p:queued: c0-b 1000000
      - carriers:a
      - free:w1
      - room:a
      - sessions:p:running
      - sessions:p:starting
      berths:w1: 0 taken|1|a|c0-a|f00d| → -, 1 starting|1|a|c0-b|| → -
      cell: queued - → 1, swept 1009000 → 1010000
      changed:c0-a ! ended
      changed:c0-b ! queued
      deadlines: c0-a 1060000 → -, c0-b 1060000 → 1020000
      events << session=c0-a project=p from=running to=ended reason=worker_lost worker=w1 berth=0
      events << session=c0-b project=p from=starting to=queued
      project:p: queued - → 1, running 1 → 0, starting 1 → 0
      session:c0-a: (ttl) - → 24 h, ended - → 1010000, reason - → worker_lost, state running → ended
      session:c0-b: berth 1 → -, epoch 1 → -, gateway http://w1 → -, queued - → 1010000, starting 1000000 → -, state
      & starting → queued, tag - → 0, turn 1 → -, warm 0 → -, worker w1 → -
      worker:w1: capacity 6 → 4, starting 1 → 0, state ready → lost, taken 1 → 0
      workers: w1 1010000 → 0
    `);
    await c.idle('heartbeat', ['w1', '1', '10000', '0', '0', '0', '0', '0', 'pack'], ['unknown_worker']);
    await c.idle('admit', c.admission('c0-new'), ['no_worker']);
    assert.deepEqual((await c.call('sweep', ...sweep(3))).slice(1), [3, 1]);
    await c.clean();
    assert.deepEqual((await c.call('sweep', ...sweep(3))).slice(1), [1, 0]);
    await c.clean();
    assert.equal(await c.hget('worker:w1', 'id'), null);
  });

  it('marks all lost workers before any session is placed again', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s', { start: 60000 });
    await c.worker('w2', 1);
    await awake(c, T + 10000);
    await c.set('sweep', ...sweep());
    assert.deepEqual([await c.state('c0-s'), (await c.session('c0-s')).attempts], ['queued', '1']);
    await c.clean();
  });

  it('forgets a project that has no session and no limits', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.set('sweep', ...sweep());
    await c.set('limits', 'bound', '3', '');
    await c.admit('c0-s');
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    c.now += 1000;
    await c.expect('sweep', sweep(), ['ok', 0, 0], `
      cell: swept 1000000 → 1001000
    `);
    await c.redis.del(`${P}sessions:p:ended`, `${P}session:c0-s`); // as if a day had passed
    c.now += 1000;
    await c.expect('sweep', sweep(), ['ok', 0, 0], `
      - project:p
      cell: swept 1001000 → 1002000
      projects: p in → -
    `);
    await c.admit('c0-t');
    c.now += 1000;
    await c.expect('sweep', sweep(), ['ok', 0, 0], `
      cell: swept 1002000 → 1003000
    `);
  });

  it('lets leases run anew, and starts report, when nobody has swept for a while', async (c) => {
    await c.worker('w1', 2);
    await c.admit('c0-s', { start: 2000 });
    await c.set('sweep', ...sweep());
    c.now = T + 60000;
    await c.expect('sweep', sweep(), ['ok', 1, 0], `
      cell: grace_until 1010000 → 1070000, swept 1000000 → 1060000
      deadlines: c0-s 1002000 → 1070000
    `);
    await awake(c, T + 69999);
    assert.equal(await c.hget('worker:w1', 'state'), 'ready');
    await awake(c, T + 70001);
    await c.set('sweep', ...sweep());
    assert.equal(await c.hget('worker:w1', 'state'), null);
  });

  it('does at most a slice', async (c) => {
    await c.worker('w1', 1);
    await c.set('sweep', ...sweep());
    await c.admit('c0-s');
    for (const id of ['a', 'b', 'c']) await c.admit(`c0-${id}`, { wait: 500 });
    c.now += 1000;
    assert.deepEqual(await c.call('sweep', ...sweep(2)), ['ok', 2, 1]);
    assert.deepEqual(await c.call('sweep', ...sweep(2)), ['ok', 1, 0]);
  });

  it('mends what a Redis that lost data left behind', async (c) => {
    await c.worker('w1', 1);
    await c.set('sweep', ...sweep());
    await c.redis.zadd('berth:{c0}:deadlines', T, 'c0-ghost');
    await c.redis.zadd('berth:{c0}:workers', 0, 'ghost');
    await c.expect('sweep', sweep(), ['ok', 1, 0], `
      - deadlines
      workers: ghost 0 → -
    `);
  });

  it('refuses wrong arguments', async (c) => {
    await c.idle('sweep', ['0', '10', 'pack'], ['bad_argument', '2']);
    await c.idle('sweep', ['10000', '0', 'pack'], ['bad_argument', '3']);
    await c.idle('sweep', ['10000', '10', ''], ['bad_argument', '4']);
  });
});
