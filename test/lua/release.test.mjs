// lua/release.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, flat, T } from './cell.mjs';

suite('release', (it) => {
  it('ends a running session through its worker, once, with the first reason', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.admit('c0-s');
    const reply = await c.expect('release', ['c0-s', 'p', 'released', '', ''], ['ok'], `
      + sessions:p:ending: c0-s 1000000
      - sessions:p:running
      berths:w1: 0 taken|1|a|c0-s|f00d| → cleaning|1|a|c0-s||
      changed:c0-s ! ending
      deadlines: c0-s 1060000 → 1015000
      events << session=c0-s project=p from=running to=ending reason=released worker=w1 berth=0
      jobs:w1 << kind=stop epoch=1 berth=0 turn=1 session=c0-s profile=a reason=released
      project:p: ending - → 1, running 1 → 0
      session:c0-s: ending - → 1000000, reason - → released, state running → ending
      worker:w1: cleaning 0 → 1, taken 1 → 0
    `);
    assert.deepEqual(flat(reply[1]), await c.session('c0-s'));
    c.now += 100;
    const again = await c.idle('release', ['c0-s', 'p', 'timeout', '', ''], ['ok']);
    assert.equal(flat(again[1]).reason, 'released');
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    await c.idle('release', ['c0-s', '', 'timeout', '', ''], ['ok']);
  });

  it('ends a starting session through its worker', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.expect('release', ['c0-s', '', 'released', '', ''], ['ok'], `
      + sessions:p:ending: c0-s 1000000
      - sessions:p:starting
      berths:w1: 0 starting|1|a|c0-s|| → cleaning|1|a|c0-s||
      changed:c0-s ! ending
      deadlines: c0-s 1005000 → 1015000
      events << session=c0-s project=p from=starting to=ending reason=released worker=w1 berth=0
      jobs:w1 << kind=stop epoch=1 berth=0 turn=1 session=c0-s profile=a reason=released
      project:p: ending - → 1, starting 1 → 0
      session:c0-s: ending - → 1000000, reason - → released, state starting → ending
      worker:w1: cleaning 0 → 1, starting 1 → 0
    `);
  });

  it('ends a waiting session at once, and gives its turn back', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x');
    await c.admit('c0-y');
    await c.expect('release', ['c0-y', '', 'released', '', ''], ['ok'], `
      + sessions:p:ended: (ttl) 24 h, c0-y 1000000
      cell: queued 2 → 1
      changed:c0-y ! ended
      deadlines: c0-y 1020000 → -
      events << session=c0-y project=p from=queued to=ended reason=released
      project:p: queued 2 → 1, tag:a 2 → 1
      queue:a: c0-y 2 → -
      session:c0-y: (ttl) - → 24 h, ended - → 1000000, reason - → released, state queued → ended
      sessions:p:queued: c0-y 1000000 → -
    `);
    await c.admit('c0-z');
    assert.equal((await c.session('c0-z')).tag, '2');
    await c.set('release', 'c0-x', '', 'released', '', '');
    assert.equal(await c.hget('project:p', 'tag:a'), '2');
  });

  it('forgets a profile that nobody carries when the last one who waited is gone', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x');
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.set('sweep', '10000', '10', 'pack');
    for (let n = 1; n <= 11; n++) {
      c.now = T + n * 1000;
      await c.set('sweep', '10000', '10', 'pack');
    }
    assert.equal(await c.hget('worker:w1', 'id'), null);
    await c.clean();
    await c.expect('release', ['c0-x', '', 'released', '', ''], ['ok'], `
      - deadlines
      - profiles
      - queue:a
      - sessions:p:queued
      cell: queued 1 → 0
      changed:c0-x ! ended
      events << session=c0-x project=p from=queued to=ended reason=released
      project:p: queued 1 → 0, tag:a 1 → 0
      session:c0-x: (ttl) - → 24 h, ended - → 1011000, reason - → released, state queued → ended
      sessions:p:ended: c0-x - → 1011000
    `);
  });

  it('takes a worker\'s word only for its own session', async (c) => {
    await c.worker('w1', 1);
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x');
    await c.idle('release', ['c0-s', '', 'idle', 'w1', '2'], ['stale_epoch']);
    await c.idle('release', ['c0-s', '', 'idle', 'w2', '1'], ['stale_epoch']);
    await c.idle('release', ['c0-x', '', 'idle', 'w1', '1'], ['stale_epoch']);
    await c.expect('release', ['c0-s', '', 'idle', 'w1', '1'], ['ok'], `
      + sessions:p:ending: c0-s 1000000
      - sessions:p:running
      berths:w1: 0 taken|1|a|c0-s|f00d| → cleaning|1|a|c0-s||
      changed:c0-s ! ending
      deadlines: c0-s 1060000 → 1015000
      events << session=c0-s project=p from=running to=ending reason=idle worker=w1 berth=0
      jobs:w1 << kind=stop epoch=1 berth=0 turn=1 session=c0-s profile=a reason=idle
      project:p: ending - → 1, running 1 → 0
      session:c0-s: ending - → 1000000, reason - → idle, state running → ending
      worker:w1: cleaning 0 → 1, taken 1 → 0
    `);
  });

  it('does not find what is not there, or another project\'s', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.idle('release', ['c0-t', '', 'released', '', ''], ['not_found']);
    await c.idle('release', ['c0-s', 'q', 'released', '', ''], ['not_found']);
    await c.idle('release', ['c0-s', '', 'boredom', '', ''], ['bad_argument', '4']);
    await c.idle('release', ['c0-s', '', 'released', '', 'x'], ['bad_argument', '6']);
  });
});
