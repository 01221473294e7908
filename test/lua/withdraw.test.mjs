// lua/withdraw.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import { suite } from './cell.mjs';

suite('withdraw', (it) => {
  it('takes a warm berth back', async (c) => {
    await c.worker('w1', 2, 'a,b');
    await c.warm('w1', 1);
    await c.expect('withdraw', ['w1', '1', '0', '1'], ['ok'], `
      - spare:b
      - warm:a
      berths:w1: 0 warm|1|a||f00d| → cleaning|1|a|||
      worker:w1: cleaning 0 → 1, warm 1 → 0
    `);
    await c.idle('withdraw', ['w1', '1', '0', '1'], ['ok']);
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    await c.idle('withdraw', ['w1', '1', '0', '1'], ['not_warm']);
  });

  it('leaves a berth that somebody got first, or that is not up', async (c) => {
    await c.worker('w1', 2);
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.set('reserve', 'w1', '1', 'a');
    await c.idle('withdraw', ['w1', '1', '0', '1'], ['not_warm']);
    await c.idle('withdraw', ['w1', '1', '1', '1'], ['not_warm']);
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.idle('withdraw', ['w1', '1', '0', '1'], ['not_warm']);
  });

  it('speaks only for its own turn', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.idle('withdraw', ['w1', '1', '0', '2'], ['stale_turn']);
    await c.idle('withdraw', ['w1', '1', '9', '1'], ['stale_turn']);
    await c.idle('withdraw', ['w1', '2', '0', '1'], ['stale_epoch']);
    await c.idle('withdraw', ['w9', '1', '0', '1'], ['unknown_worker']);
    await c.idle('withdraw', ['w1', '1', '-1', '1'], ['bad_argument', '4']);
  });
});
