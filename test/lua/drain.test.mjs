// lua/drain.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import { suite } from './cell.mjs';

const drain = (action, epoch = '', id = 'w1') => [id, action, epoch, 'pack'];

suite('drain', (it) => {
  it('takes a worker out and cleans its warm berths; its sessions stay', async (c) => {
    await c.worker('w1', 4, 'a,b');
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.warm('w1', 1);
    await c.set('reserve', 'w1', '1', 'b');
    await c.expect('drain', drain('drain'), ['ok', 'draining', 3], `
      - carriers:a
      - carriers:b
      - room:a
      - room:b
      - spare:b
      - warm:a
      berths:w1: 1 warm|1|a||f00d| → cleaning|1|a|||
      jobs:w1 << kind=drain epoch=1
      jobs:w1 << kind=stop epoch=1 berth=1 turn=1 profile=a reason=drained
      worker:w1: cleaning 0 → 1, state ready → draining, warm 1 → 0
    `);
    await c.idle('drain', drain('drain'), ['ok', 'draining', 3]);
  });

  it('undrain opens it and serves who waits', async (c) => {
    await c.worker('w1', 2);
    await c.admit('c0-s');
    await c.set('drain', ...drain('drain'));
    await c.worker('w2', 1);
    await c.admit('c0-t');
    await c.admit('c0-x');
    await c.expect('drain', drain('undrain'), ['ok', 'ready', 2], `
      - free:w1
      - queue:a
      - sessions:p:queued
      berths:w1: 1 free|0|||| → starting|1|a|c0-x||
      carriers:a: w1 - → in
      cell: queued 1 → 0, vtime:a - → 1
      changed:c0-x ! starting
      deadlines: c0-x 1020000 → 1005000
      events << session=c0-x project=p from=queued to=starting worker=w1 berth=1
      jobs:w1 << kind=start epoch=1 berth=1 turn=1 session=c0-x profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      jobs:w1 << kind=undrain epoch=1
      project:p: queued 1 → 0, starting 2 → 3
      session:c0-x: attempts 0 → 1, berth - → 1, epoch - → 1, gateway - → http://w1, starting - → 1000000, state
      & queued → starting, turn - → 1, warm - → 0, worker - → w1
      sessions:p:starting: c0-x - → 1000000
      worker:w1: free 1 → 0, starting 1 → 2, state draining → ready
    `);
    await c.idle('drain', drain('undrain'), ['ok', 'ready', 2]);
  });

  it('leave removes it when no session is left, free and warm berths with it', async (c) => {
    await c.worker('w1', 3, 'a,b');
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.warm('w1', 1);
    await c.idle('drain', drain('leave', '1'), ['not_empty', 1]);
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.idle('drain', drain('leave', '1'), ['not_empty', 1]);
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    await c.expect('drain', drain('leave', '1'), ['ok', 'gone', 0], `
      - berths:w1
      - carriers:a
      - carriers:b
      - free:w1
      - jobs:w1
      - profiles
      - room:a
      - room:b
      - spare:b
      - warm:a
      - worker:w1
      - workers
      cell: workers:a 1 → -, workers:b 1 → -
    `);
    await c.idle('drain', drain('leave', '1'), ['unknown_worker']);
  });

  it('keeps a profile that another worker carries', async (c) => {
    await c.worker('w1', 1);
    await c.worker('w2', 1);
    await c.set('drain', ...drain('drain', '', 'w2'));
    await c.expect('drain', drain('leave', '1'), ['ok', 'gone', 0], `
      - berths:w1
      - carriers:a
      - free:w1
      - jobs:w1
      - room:a
      - worker:w1
      cell: workers:a 2 → 1
      workers: w1 1010000 → -
    `);
  });

  it('heeds the epoch where one is given', async (c) => {
    await c.worker('w1');
    await c.idle('drain', drain('leave', '2'), ['stale_epoch']);
    await c.idle('drain', drain('drain', '2'), ['stale_epoch']);
    await c.idle('drain', drain('drain', '', 'w2'), ['unknown_worker']);
    await c.idle('drain', drain('leave'), ['bad_argument', '4']);
    await c.idle('drain', drain('sink'), ['bad_argument', '3']);
  });
});
