// lua/failed.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite } from './cell.mjs';

const failed = (berth, turn, o = {}) => [o.worker ?? 'w1', o.epoch ?? '1', String(berth), String(turn), o.message ?? 'it broke', 'pack'];

suite('failed', (it) => {
  it('ends a running session with browser_crashed; the worker cleans', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.expect('failed', failed(0, 1), ['ok'], `
      + sessions:p:ending: c0-s 1000000
      - sessions:p:running
      berths:w1: 0 taken|1|a|c0-s|f00d| → cleaning|1|a|c0-s||
      changed:c0-s ! ending
      deadlines: c0-s 1060000 → 1015000
      events << session=c0-s project=p from=running to=ending reason=browser_crashed worker=w1 berth=0
      project:p: ending - → 1, running 1 → 0
      session:c0-s: ending - → 1000000, message - → it broke, reason - → browser_crashed, state running → ending
      worker:w1: cleaning 0 → 1, taken 1 → 0
    `);
    await c.idle('failed', failed(0, 1), ['ok']);
    await c.expect('freed', ['w1', '1', '0', '1', 'pack'], ['ok'], `
      + free:w1: 0
      + room:a: w1 1
      + sessions:p:ended: (ttl) 24 h, c0-s 1000000
      - deadlines
      - sessions:p:ending
      berths:w1: 0 cleaning|1|a|c0-s|| → free|1||||
      changed:c0-s ! ended
      events << session=c0-s project=p from=ending to=ended reason=browser_crashed worker=w1 berth=0
      project:p: ending 1 → 0
      session:c0-s: (ttl) - → 24 h, ended - → 1000000, state ending → ended
      worker:w1: cleaning 1 → 0, free 0 → 1
    `);
    await c.idle('failed', failed(0, 1), ['stale_turn']);
  });

  it('places a starting session again', async (c) => {
    await c.worker('w1', 2);
    await c.admit('c0-s');
    await c.expect('failed', failed(0, 1), ['ok'], `
      - free:w1
      - room:a
      berths:w1: 0 starting|1|a|c0-s|| → cleaning|1|a|||, 1 free|0|||| → starting|1|a|c0-s||
      changed:c0-s ! starting
      events << session=c0-s project=p from=starting to=starting worker=w1 berth=1
      jobs:w1 << kind=start epoch=1 berth=1 turn=1 session=c0-s profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      session:c0-s: attempts 1 → 2, berth 0 → 1
      worker:w1: cleaning 0 → 1, free 1 → 0
    `);
  });

  it('gives a starting session a warm berth if there is one by now', async (c) => {
    await c.worker('w1', 2);
    await c.admit('c0-s');
    await c.warm('w1', 1);
    await c.expect('failed', failed(0, 1), ['ok'], `
      + sessions:p:running: c0-s 1000000
      - sessions:p:starting
      - warm:a
      berths:w1: 0 starting|1|a|c0-s|| → cleaning|1|a|||, 1 warm|1|a||f00d| → taken|1|a|c0-s|f00d|
      changed:c0-s ! running
      deadlines: c0-s 1005000 → 1060000
      events << session=c0-s project=p from=starting to=running worker=w1 berth=1
      jobs:w1 << kind=claim epoch=1 berth=1 turn=1 session=c0-s profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      project:p: running - → 1, starting 1 → 0
      session:c0-s: berth 0 → 1, expires - → 1060000, running - → 1000000, secret - → f00d, state starting → running,
      & warm 0 → 1
      worker:w1: cleaning 0 → 1, starting 1 → 0, taken 0 → 1, warm 1 → 0
    `);
  });

  it('puts a starting session back into the queue, before those who came later', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-later');
    await c.expect('failed', failed(0, 1), ['ok'], `
      - sessions:p:starting
      berths:w1: 0 starting|1|a|c0-s|| → cleaning|1|a|||
      cell: queued 1 → 2
      changed:c0-s ! queued
      deadlines: c0-s 1005000 → 1020000
      events << session=c0-s project=p from=starting to=queued
      project:p: queued 1 → 2, starting 1 → 0
      queue:a: c0-s - → 0
      session:c0-s: berth 0 → -, epoch 1 → -, gateway http://w1 → -, message - → it broke, queued - → 1000000,
      & starting 1000000 → -, state starting → queued, tag - → 0, turn 1 → -, warm 0 → -, worker w1 → -
      sessions:p:queued: c0-s - → 1000000
      worker:w1: cleaning 0 → 1, starting 1 → 0
    `);
    assert.deepEqual(await c.redis.zrange('berth:{c0}:queue:a', 0, -1), ['c0-s', 'c0-later']);
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    assert.equal(await c.state('c0-s'), 'starting');
  });

  it('keeps the tag and the wait deadline of one that waited before', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-first');
    await c.admit('c0-s');
    await c.set('release', 'c0-first', '', 'released', '', '');
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    await c.admit('c0-later');
    c.now += 3000;
    await c.expect('failed', failed(0, 2), ['ok'], `
      - sessions:p:starting
      berths:w1: 0 starting|2|a|c0-s|| → cleaning|2|a|||
      cell: queued 1 → 2
      changed:c0-s ! queued
      deadlines: c0-s 1005000 → 1020000
      events << session=c0-s project=p from=starting to=queued
      project:p: queued 1 → 2, starting 1 → 0
      queue:a: c0-s - → 1
      session:c0-s: berth 0 → -, epoch 1 → -, gateway http://w1 → -, message - → it broke, starting 1000000 → -, state
      & starting → queued, turn 2 → -, warm 0 → -, worker w1 → -
      sessions:p:queued: c0-s - → 1000000
      worker:w1: cleaning 0 → 1, starting 1 → 0
    `);
    assert.deepEqual(await c.redis.zrange('berth:{c0}:queue:a', 0, -1), ['c0-s', 'c0-later']);
  });

  it('gives up after three starts', async (c) => {
    await c.worker('w1', 3);
    await c.admit('c0-s');
    await c.set('failed', ...failed(0, 1));
    await c.set('failed', ...failed(1, 1));
    await c.expect('failed', failed(2, 1, { message: 'no such image' }), ['ok'], `
      + sessions:p:ended: (ttl) 24 h, c0-s 1000000
      - deadlines
      - sessions:p:starting
      berths:w1: 2 starting|1|a|c0-s|| → cleaning|1|a|||
      changed:c0-s ! ended
      events << session=c0-s project=p from=starting to=ended reason=start_failed worker=w1 berth=2
      project:p: starting 1 → 0
      session:c0-s: (ttl) - → 24 h, ended - → 1000000, message - → no such image, reason - → start_failed, state
      & starting → ended
      worker:w1: cleaning 2 → 3, starting 1 → 0
    `);
  });

  it('cleans a berth of the pool, starting or warm', async (c) => {
    await c.worker('w1', 2);
    await c.warm('w1', 1);
    await c.set('reserve', 'w1', '1', 'a');
    await c.expect('failed', failed(0, 1), ['ok'], `
      - warm:a
      berths:w1: 0 warm|1|a||f00d| → cleaning|1|a|||
      worker:w1: cleaning 0 → 1, warm 1 → 0
    `);
    await c.expect('failed', failed(1, 1), ['ok'], `
      berths:w1: 1 starting|1|a||| → cleaning|1|a|||
      worker:w1: cleaning 1 → 2, starting 1 → 0
    `);
  });

  it('keeps only the beginning of a long message', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.set('failed', ...failed(0, 1, { message: 'x'.repeat(3000) }));
    assert.equal((await c.session('c0-s')).message.length, 500);
  });

  it('speaks only for its own turn', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.idle('failed', failed(0, 0), ['stale_turn']);
    await c.idle('failed', failed(1, 1), ['stale_turn']);
    await c.idle('failed', failed(0, 1, { epoch: '7' }), ['stale_epoch']);
    await c.idle('failed', failed(0, 1, { worker: 'w7' }), ['unknown_worker']);
    await c.idle('failed', failed('x', 1), ['bad_argument', '4']);
  });
});
