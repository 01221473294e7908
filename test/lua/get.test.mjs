// lua/get.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, flat } from './cell.mjs';

suite('get', (it) => {
  it('gives a session, and its position while it waits', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x');
    await c.admit('c0-y');
    const reply = await c.idle('get', ['c0-y', 'p'], ['ok', 2]);
    assert.deepEqual(flat(reply[2]), await c.session('c0-y'));
    await c.idle('get', ['c0-x', ''], ['ok', 1]);
    await c.idle('get', ['c0-s', ''], ['ok', 0]);
  });

  it('does not find what is not there, or another project\'s', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.idle('get', ['c0-t', ''], ['not_found']);
    await c.idle('get', ['c0-s', 'q'], ['not_found']);
    await c.idle('get', ['c0:s', ''], ['bad_argument', '2']);
  });
});
