import assert from 'node:assert/strict';
import { suite, flat } from './cell.mjs';

// All pages: the ids, page by page.
async function pages(c, project, state, count) {
  const all = [];
  let cursor = '';
  do {
    const reply = await c.call('list', project, state, cursor, String(count));
    assert.equal(reply[0], 'ok');
    cursor = reply[1];
    all.push(reply[2].map((s) => flat(s).id));
  } while (cursor !== '');
  return all;
}

suite('list', (it) => {
  async function scene(c) {
    await c.worker('w1', 3);
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      await c.admit(`c0-${id}`);
      if (id !== 'b') c.now += 10; // c has the time of b
    }
    await c.set('ready', 'w1', '1', '0', '1', 'c0-a', 'f00d', '');
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    await c.admit('c0-other', { project: 'q' });
  }

  it('gives state by state, the newest first', async (c) => {
    await scene(c);
    assert.deepEqual(await pages(c, 'p', '', 100), [['c0-e', 'c0-d', 'c0-c', 'c0-b', 'c0-a']]);
    assert.deepEqual(await pages(c, 'p', 'starting', 100), [['c0-d', 'c0-c', 'c0-b']]);
    assert.deepEqual(await pages(c, 'p', 'ended', 100), [['c0-a']]);
    assert.deepEqual(await pages(c, 'p', 'running', 100), [[]]);
    assert.deepEqual(await pages(c, 'q', '', 100), [['c0-other']]);
    assert.deepEqual(await pages(c, 'nobody', '', 100), [[]]);
    const [, , [first]] = await c.idle('list', ['p', '', '', '1'], ['ok']);
    assert.deepEqual(flat(first), await c.session('c0-e'));
  });

  it('gives each once, page by page', async (c) => {
    await scene(c);
    assert.deepEqual(await pages(c, 'p', '', 2), [['c0-e', 'c0-d'], ['c0-c', 'c0-b'], ['c0-a']]);
    assert.deepEqual(await pages(c, 'p', '', 1), [['c0-e'], ['c0-d'], ['c0-c'], ['c0-b'], ['c0-a']]);
    assert.deepEqual(await pages(c, 'p', 'starting', 2), [['c0-d', 'c0-c'], ['c0-b']]);
    assert.deepEqual(await pages(c, 'p', '', 5), [['c0-e', 'c0-d', 'c0-c', 'c0-b', 'c0-a']]);
  });

  it('goes on where it was when new sessions come and the last one goes', async (c) => {
    await scene(c);
    const [, cursor] = await c.call('list', 'p', 'starting', '', '2');
    await c.set('freed', 'w1', '1', '0', '2', 'pack');
    c.now += 10;
    await c.admit('c0-new');
    const [, end, list] = await c.call('list', 'p', 'starting', cursor, '2');
    assert.deepEqual([end, list.map((s) => flat(s).id)], ['', ['c0-b']]);
  });

  it('pages through many of the same time', async (c) => {
    await c.worker('w1', 1);
    for (let n = 0; n < 26; n++) await c.admit(`c0-${String.fromCharCode(97 + n)}`, { queue: 100 });
    const all = (await pages(c, 'p', 'queued', 4)).flat();
    assert.equal(new Set(all).size, 25);
    assert.deepEqual(all, [...all].sort().reverse());
  });

  it('leaves out a session that has expired', async (c) => {
    await scene(c);
    await c.redis.del('berth:{c0}:session:c0-a');
    assert.deepEqual(await pages(c, 'p', 'ended', 100), [[]]);
  });

  it('refuses wrong arguments', async (c) => {
    await c.idle('list', ['p', 'asleep', '', '10'], ['bad_argument', '3']);
    await c.idle('list', ['p', '', 'x', '10'], ['bad_argument', '4']);
    await c.idle('list', ['p', 'queued', 'running 1 c0-a', '10'], ['bad_argument', '4']);
    await c.idle('list', ['p', '', '', '0'], ['bad_argument', '5']);
    await c.idle('list', ['p', '', '', '1001'], ['bad_argument', '5']);
  });
});
