// lua/register.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, T } from './cell.mjs';

const args = (id, capacity = '2', profiles = 'a,b') => [id, '10000', capacity, profiles, `http://${id}`, 'sim', '{"os":"x"}', 'pack'];

suite('register', (it) => {
  it('makes a worker with all berths free', async (c) => {
    await c.expect('register', args('w1'), ['ok', 1, T], `
      + berths:w1: 0 free|0||||, 1 free|0||||
      + carriers:a: w1 in
      + carriers:b: w1 in
      + cell: epoch 1, workers:a 1, workers:b 1
      + free:w1: 0 1
      + jobs:w1
      + profiles: a in, b in
      + room:a: w1 2
      + room:b: w1 2
      + worker:w1: capacity 2, cleaning 0, cpu 0, crashes 0, driver sim, epoch 1, free 2, gateway http://w1, id w1,
      & info {"os":"x"}, load 0, mem 0, pressure 0, profiles a,b, registered 1000000, seen 1000000, starting 0, state
      & ready, taken 0, warm 0
      + workers: w1 1010000
    `);
  });

  it('puts a worker that is not ready for starts where no session finds room', async (c) => {
    await c.set('register', ...args('w1', '1', 'a'), '1');
    await c.expect('register', [...args('w2', '1', 'a'), '1'], ['ok', 2, T], `
      + berths:w2: 0 free|0||||
      carriers:a: w2 - → in
      cell: epoch 1 → 2, workers:a 1 → 2
      + free:w2: 0
      + jobs:w2
      + worker:w2: capacity 1, cleaning 0, cpu 0, crashes 0, driver sim, epoch 2, free 1, gateway http://w2, id w2,
      & info {"os":"x"}, load 0, mem 0, pressure 1, profiles a, registered 1000000, seen 1000000, starting 0, state
      & ready, taken 0, warm 0
      workers: w2 - → 1010000
    `);
    await c.idle('register', [...args('w2'), '2'], ['bad_argument', '10']);
  });

  it('raises the epoch with every registration of any worker', async (c) => {
    assert.deepEqual(await c.call('register', ...args('w1')), ['ok', 1, T]);
    assert.deepEqual(await c.call('register', ...args('w2')), ['ok', 2, T]);
    assert.deepEqual(await c.call('register', ...args('w1')), ['ok', 3, T]);
    await c.clean();
  });

  it('gives out no epoch again that a cell whose data was lost may have given out', async (c) => {
    const day = 1_700_000_000_000, since2020 = day - 1577836800000;
    assert.deepEqual(await c.at(day, 'register', ...args('w1')), ['ok', since2020 + 1, day]);
    assert.deepEqual(await c.at(day, 'register', ...args('w2')), ['ok', since2020 + 2, day]);
    await c.clean();
  });

  it('takes a profile once that is named twice', async (c) => {
    await c.set('register', ...args('w1', '1', 'a,b,a'));
    assert.equal(await c.hget('worker:w1', 'profiles'), 'a,b');
    assert.equal(await c.hget('cell', 'workers:a'), '1');
  });

  it('ends what an earlier process had, and begins anew', async (c) => {
    await c.worker('w1', 4);
    await c.warm('w1', 1);
    await c.admit('c0-runs');
    await c.admit('c0-ends');
    await c.set('release', 'c0-ends', '', 'released', '', '');
    await c.warm('w1', 1);
    await c.expect('register', args('w1', '1', 'a'), ['ok', 2, T], `
      + sessions:p:ended: (ttl) 24 h, c0-ends 1000000, c0-runs 1000000
      - deadlines
      - sessions:p:ending
      - sessions:p:running
      - warm:a
      berths:w1: 0 taken|1|a|c0-runs|f00d| → free|0||||, 1 cleaning|1|a|c0-ends|| → -, 2 warm|1|a||f00d| → -, 3
      & free|0|||| → -
      cell: epoch 1 → 2
      changed:c0-ends ! ended
      changed:c0-runs ! ended
      events << session=c0-ends project=p from=ending to=ended reason=released worker=w1 berth=1
      events << session=c0-runs project=p from=running to=ended reason=worker_lost worker=w1 berth=0
      free:w1: 3 → 0
      jobs:w1 lost an entry
      jobs:w1 lost an entry
      jobs:w1 lost an entry
      project:p: ending 1 → 0, running 1 → 0
      session:c0-ends: (ttl) - → 24 h, ended - → 1000000, state ending → ended
      session:c0-runs: (ttl) - → 24 h, ended - → 1000000, reason - → worker_lost, state running → ended
      worker:w1: capacity 4 → 1, cleaning 1 → 0, epoch 1 → 2, info {} → {"os":"x"}, taken 1 → 0, warm 1 → 0
    `);
  });

  it('places a starting session of the earlier process on another worker', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.worker('w2', 1);
    await c.expect('register', args('w1', '1', 'a'), ['ok', 3, T], `
      + free:w1: 0
      - free:w2
      berths:w1: 0 starting|1|a|c0-s|| → free|0||||
      berths:w2: 0 free|0|||| → starting|1|a|c0-s||
      cell: epoch 2 → 3
      changed:c0-s ! starting
      events << session=c0-s project=p from=starting to=starting worker=w2 berth=0
      jobs:w1 lost an entry
      jobs:w2 << kind=start epoch=2 berth=0 turn=1 session=c0-s profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      room:a: w1 - → 1, w2 1 → -
      session:c0-s: attempts 1 → 2, epoch 1 → 2, gateway http://w1 → http://w2, worker w1 → w2
      worker:w1: epoch 1 → 3, free 0 → 1, info {} → {"os":"x"}, starting 1 → 0
      worker:w2: free 1 → 0, starting 0 → 1
    `);
  });

  it('gives a starting session of the earlier process a berth of the new one when there is no other', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.expect('register', args('w1', '1', 'a'), ['ok', 2, T], `
      cell: epoch 1 → 2, queued - → 0
      changed:c0-s ! queued
      changed:c0-s ! starting
      events << session=c0-s project=p from=queued to=starting worker=w1 berth=0
      events << session=c0-s project=p from=starting to=queued
      jobs:w1 << kind=start epoch=2 berth=0 turn=1 session=c0-s profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      jobs:w1 lost an entry
      project:p: queued - → 0
      session:c0-s: attempts 1 → 2, epoch 1 → 2, queued - → 1000000, tag - → 0
      worker:w1: epoch 1 → 2, info {} → {"os":"x"}
    `);
  });

  it('serves who waits, longest first', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-qa');
    await c.admit('c0-qb', { project: 'other' });
    await c.expect('register', args('w2', '1', 'a'), ['ok', 2, T], `
      + berths:w2: 0 starting|1|a|c0-qa||
      + jobs:w2
      + worker:w2: capacity 1, cleaning 0, cpu 0, crashes 0, driver sim, epoch 2, free 0, gateway http://w2, id w2,
      & info {"os":"x"}, load 0, mem 0, pressure 0, profiles a, registered 1000000, seen 1000000, starting 1, state
      & ready, taken 0, warm 0
      - sessions:p:queued
      carriers:a: w2 - → in
      cell: epoch 1 → 2, queued 2 → 1, vtime:a - → 1, workers:a 1 → 2
      changed:c0-qa ! starting
      deadlines: c0-qa 1020000 → 1005000
      events << session=c0-qa project=p from=queued to=starting worker=w2 berth=0
      jobs:w2 << kind=start epoch=2 berth=0 turn=1 session=c0-qa profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      project:p: queued 1 → 0, starting 1 → 2
      queue:a: c0-qa 1 → -
      session:c0-qa: attempts 0 → 1, berth - → 0, epoch - → 2, gateway - → http://w2, starting - → 1000000, state
      & queued → starting, turn - → 1, warm - → 0, worker - → w2
      sessions:p:starting: c0-qa - → 1000000
      workers: w2 - → 1010000
    `);
    assert.equal(await c.state('c0-qb'), 'queued');
  });

  it('refuses wrong arguments', async (c) => {
    await c.idle('register', args('w 1'), ['bad_argument', '2']);
    await c.idle('register', args('w1', '0'), ['bad_argument', '4']);
    await c.idle('register', args('w1', '4097'), ['bad_argument', '4']);
    await c.idle('register', args('w1', '1', ''), ['bad_argument', '5']);
    await c.idle('register', args('w1', '1', `a,${'b'.repeat(65)}`), ['bad_argument', '5']);
    await c.idle('register', args('w1').slice(1), ['bad_argument', 'count']);
    await c.idle('register', ['w1', '0', ...args('w1').slice(2)], ['bad_argument', '3']);
  });

  it('takes a large worker', async (c) => {
    await c.set('register', ...args('w1', '4096', 'a'));
    assert.equal(await c.redis.llen('berth:{c0}:free:w1'), 4096);
    await c.clean();
  });

  // 40 us a session, 4 us an empty berth, 2,000 us a call (lua/include/budget.lua).
  it('replaces a worker with many sessions in several calls, and leaves some of them to sweep', async (c) => {
    const id = (n) => `c0-x${String.fromCharCode(97 + (n % 26))}${String.fromCharCode(97 + Math.floor(n / 26))}`;
    await c.worker('w1', 120);
    for (let n = 0; n < 100; n++) await c.set('admit', ...c.admission(id(n), { total: 1000 }));
    assert.deepEqual(await c.call('register', ...args('w1', '120')), ['not_empty', 70]);
    assert.equal(await c.hget('worker:w1', 'state'), 'lost');
    await c.clean();
    assert.deepEqual(await c.call('register', ...args('w1', '120')), ['not_empty', 20]);
    assert.equal((await c.call('register', ...args('w1', '120')))[0], 'ok');
    const waiting = await c.redis.zcard('berth:{c0}:queue:a');
    assert.ok(waiting > 30 && waiting < 70, `${waiting} wait`);
    assert.equal(await c.hget('cell', 'unserved'), '1');
    await c.clean();
    for (let n = 0; (await c.hget('cell', 'unserved')) && n < 5; n++) await c.set('sweep', '10000', '100', 'pack');
    assert.equal(await c.redis.zcard('berth:{c0}:queue:a'), 0);
    assert.equal(await c.hget('worker:w1', 'starting'), '100');
    await c.clean();
  });
});
