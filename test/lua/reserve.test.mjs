// lua/reserve.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import { suite } from './cell.mjs';

suite('reserve', (it) => {
  it('takes the berth that has been free for longest, under a new turn', async (c) => {
    await c.worker('w1', 2, 'a,b');
    await c.expect('reserve', ['w1', '1', 'a'], ['ok', 0, 1], `
      berths:w1: 0 free|0|||| → starting|1|a|||
      free:w1: 0 1 → 1
      room:a: w1 2 → 1
      room:b: w1 2 → 1
      worker:w1: free 2 → 1, starting 0 → 1
    `);
    await c.expect('reserve', ['w1', '1', 'b'], ['ok', 1, 1], `
      - free:w1
      - room:a
      - room:b
      berths:w1: 1 free|0|||| → starting|1|b|||
      worker:w1: free 1 → 0, starting 1 → 2
    `);
    await c.idle('reserve', ['w1', '1', 'a'], ['no_berth']);
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    await c.expect('reserve', ['w1', '1', 'a'], ['ok', 0, 2], `
      - free:w1
      - room:a
      - room:b
      berths:w1: 0 free|1|||| → starting|2|a|||
      worker:w1: free 1 → 0, starting 1 → 2
    `);
  });

  it('takes nothing on a draining worker', async (c) => {
    await c.worker('w1');
    await c.set('drain', 'w1', 'drain', '', 'pack');
    await c.idle('reserve', ['w1', '1', 'a'], ['no_berth']);
  });

  it('works under pressure: what the worker makes for its pool is its own affair', async (c) => {
    await c.worker('w1', 1);
    await c.set('heartbeat', 'w1', '1', '10000', '1', '0', '0', '0', '0', 'pack');
    await c.expect('reserve', ['w1', '1', 'a'], ['ok', 0, 1], `
      - free:w1
      berths:w1: 0 free|0|||| → starting|1|a|||
      worker:w1: free 1 → 0, starting 0 → 1
    `);
  });

  it('keeps out stale and unknown workers and profiles', async (c) => {
    await c.worker('w1');
    await c.worker('w1');
    await c.idle('reserve', ['w1', '1', 'a'], ['stale_epoch']);
    await c.idle('reserve', ['w2', '1', 'a'], ['unknown_worker']);
    await c.idle('reserve', ['w1', '2', 'b'], ['bad_argument', '4']);
    await c.idle('reserve', ['w1', 'x', 'a'], ['bad_argument', '3']);
  });
});
