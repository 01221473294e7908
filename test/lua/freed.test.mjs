// lua/freed.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite } from './cell.mjs';

const freed = (berth, turn, o = {}) => [o.worker ?? 'w1', o.epoch ?? '1', String(berth), String(turn), 'pack'];

suite('freed', (it) => {
  it('ends the session and gives the berth back, once', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.set('release', 'c0-s', '', 'released', '', '');
    c.now += 700;
    await c.expect('freed', freed(0, 1), ['ok'], `
      + free:w1: 0
      + room:a: w1 1
      + sessions:p:ended: (ttl) 24 h, c0-s 1000700
      - deadlines
      - sessions:p:ending
      berths:w1: 0 cleaning|1|a|c0-s|| → free|1||||
      changed:c0-s ! ended
      events << session=c0-s project=p from=ending to=ended reason=released worker=w1 berth=0
      project:p: ending 1 → 0
      session:c0-s: (ttl) - → 24 h, ended - → 1000700, state ending → ended
      worker:w1: cleaning 1 → 0, free 0 → 1
    `);
    await c.idle('freed', freed(0, 1), ['ok']);
  });

  it('serves the head of the queue with the berth', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x');
    await c.admit('c0-y');
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.expect('freed', freed(0, 1), ['ok'], `
      + sessions:p:ended: (ttl) 24 h, c0-s 1000000
      + sessions:p:starting: c0-x 1000000
      - sessions:p:ending
      berths:w1: 0 cleaning|1|a|c0-s|| → starting|2|a|c0-x||
      cell: queued 2 → 1, vtime:a - → 1
      changed:c0-s ! ended
      changed:c0-x ! starting
      deadlines: c0-s 1015000 → -, c0-x 1020000 → 1005000
      events << session=c0-s project=p from=ending to=ended reason=released worker=w1 berth=0
      events << session=c0-x project=p from=queued to=starting worker=w1 berth=0
      jobs:w1 << kind=start epoch=1 berth=0 turn=2 session=c0-x profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      project:p: ending 1 → 0, queued 2 → 1, starting 0 → 1
      queue:a: c0-x 1 → -
      session:c0-s: (ttl) - → 24 h, ended - → 1000000, state ending → ended
      session:c0-x: attempts 0 → 1, berth - → 0, epoch - → 1, gateway - → http://w1, starting - → 1000000, state
      & queued → starting, turn - → 2, warm - → 0, worker - → w1
      sessions:p:queued: c0-x 1000000 → -
      worker:w1: cleaning 1 → 0, starting 0 → 1
    `);
    await c.idle('freed', freed(0, 1), ['stale_turn']);
  });

  it('serves of several profiles the one that waits longest', async (c) => {
    await c.worker('w1', 1, 'a,b');
    await c.admit('c0-s');
    await c.admit('c0-b', { profile: 'b' });
    c.now += 1;
    await c.admit('c0-a', { profile: 'a' });
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.set('freed', ...freed(0, 1));
    assert.deepEqual([await c.state('c0-b'), await c.state('c0-a')], ['starting', 'queued']);
    await c.clean();
  });

  it('ends a session that ran there with browser_crashed', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.expect('freed', freed(0, 1), ['ok'], `
      + free:w1: 0
      + room:a: w1 1
      + sessions:p:ended: (ttl) 24 h, c0-s 1000000
      - deadlines
      - sessions:p:running
      berths:w1: 0 taken|1|a|c0-s|f00d| → free|1||||
      changed:c0-s ! ended
      events << session=c0-s project=p from=running to=ended reason=browser_crashed worker=w1 berth=0
      project:p: running 1 → 0
      session:c0-s: (ttl) - → 24 h, ended - → 1000000, reason - → browser_crashed, state running → ended
      worker:w1: free 0 → 1, taken 1 → 0
    `);
  });

  it('places a session that was starting there again', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-waits');
    await c.expect('freed', freed(0, 1), ['ok'], `
      berths:w1: 0 starting|1|a|c0-s|| → starting|2|a|c0-s||
      changed:c0-s ! starting
      events << session=c0-s project=p from=starting to=starting worker=w1 berth=0
      jobs:w1 << kind=start epoch=1 berth=0 turn=2 session=c0-s profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      session:c0-s: attempts 1 → 2, turn 1 → 2
    `);
  });

  it('frees a berth of the pool', async (c) => {
    await c.worker('w1', 2, 'a,b');
    await c.warm('w1', 1);
    await c.set('reserve', 'w1', '1', 'b');
    await c.expect('freed', freed(0, 1), ['ok'], `
      + free:w1: 0
      + room:a: w1 1
      + room:b: w1 1
      - spare:b
      - warm:a
      berths:w1: 0 warm|1|a||f00d| → free|1||||
      worker:w1: free 0 → 1, warm 1 → 0
    `);
    await c.expect('freed', freed(1, 1), ['ok'], `
      berths:w1: 1 starting|1|b||| → free|1||||
      free:w1: 0 → 0 1
      room:a: w1 1 → 2
      room:b: w1 1 → 2
      worker:w1: free 1 → 2, starting 1 → 0
    `);
  });

  it('does not open a draining worker', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x');
    await c.set('drain', 'w1', 'drain', '', 'pack');
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.expect('freed', freed(0, 1), ['ok'], `
      + free:w1: 0
      + sessions:p:ended: (ttl) 24 h, c0-s 1000000
      - sessions:p:ending
      berths:w1: 0 cleaning|1|a|c0-s|| → free|1||||
      changed:c0-s ! ended
      deadlines: c0-s 1015000 → -
      events << session=c0-s project=p from=ending to=ended reason=released worker=w1 berth=0
      project:p: ending 1 → 0
      session:c0-s: (ttl) - → 24 h, ended - → 1000000, state ending → ended
      worker:w1: cleaning 1 → 0, free 0 → 1
    `);
  });

  it('speaks only for its own turn', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.idle('freed', freed(0, 2), ['stale_turn']);
    await c.idle('freed', freed(3, 1), ['stale_turn']);
    await c.idle('freed', freed(0, 1, { epoch: '2' }), ['stale_epoch']);
    await c.idle('freed', freed(0, 1, { worker: 'w2' }), ['unknown_worker']);
    await c.worker('w1', 1);
    await c.idle('freed', freed(0, 1), ['stale_epoch']);
    await c.idle('freed', ['w1', '1', '0', '', 'pack'], ['bad_argument', '5']);
  });
});
