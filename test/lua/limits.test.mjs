// lua/limits.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, flat } from './cell.mjs';

suite('limits', (it) => {
  it('sets, leaves, reads and takes back', async (c) => {
    await c.idle('limits', ['p', '', ''], ['ok', []]);
    await c.expect('limits', ['p', '5', ''], ['ok'], `
      + project:p: concurrency 5
      + projects: p in
    `);
    const reply = await c.expect('limits', ['p', '', '007'], ['ok'], `
      project:p: queue - → 7
    `);
    assert.deepEqual(flat(reply[1]), { concurrency: '5', queue: '7' });
    await c.idle('limits', ['p', '5', '7'], ['ok']);
    await c.expect('limits', ['p', '-', ''], ['ok'], `
      project:p: concurrency 5 → -
    `);
    await c.expect('limits', ['p', '', '-'], ['ok', []], `
      - project:p
      - projects
    `);
    await c.idle('limits', ['p', '-', '-'], ['ok', []]);
  });

  it('leaves the counts of a project that has sessions', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.expect('limits', ['p', '1', '-'], ['ok'], `
      project:p: concurrency - → 1
    `);
    await c.expect('limits', ['p', '-', '-'], ['ok', ['starting', '1']], `
      project:p: concurrency 1 → -
    `);
  });

  it('refuses wrong arguments', async (c) => {
    await c.idle('limits', ['p', '-1', ''], ['bad_argument', '3']);
    await c.idle('limits', ['p', '', '1.5'], ['bad_argument', '4']);
    await c.idle('limits', ['', '1', '1'], ['bad_argument', '2']);
    await c.idle('limits', ['p', '1234567890', ''], ['bad_argument', '3']);
  });
});
