// lua/cancel.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, flat } from './cell.mjs';

suite('cancel', (it) => {
  it('ends a waiting session and forgets its idempotency key', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.admit('c0-x', { idem: 'k', body: 'abc' });
    await c.expect('cancel', ['c0-x', 'p'], ['ok'], `
      + sessions:p:ended: (ttl) 24 h, c0-x 1000000
      - idem:p:k
      - queue:a
      - sessions:p:queued
      cell: queued 1 → 0
      changed:c0-x ! ended
      deadlines: c0-x 1020000 → -
      events << session=c0-x project=p from=queued to=ended reason=cancelled
      project:p: queued 1 → 0, tag:a 1 → 0
      session:c0-x: (ttl) - → 24 h, ended - → 1000000, reason - → cancelled, state queued → ended
    `);
    const again = await c.idle('cancel', ['c0-x', 'p'], ['ok']);
    assert.equal(flat(again[1]).reason, 'cancelled');
    assert.equal((await c.call('admit', ...c.admission('c0-y', { idem: 'k', body: 'abc' })))[2], 0);
    await c.idle('cancel', ['c0-x', 'p'], ['ok']); // c0-y's key stays
  });

  it('gives back the berth of one that starts or runs already', async (c) => {
    await c.worker('w1', 2);
    await c.admit('c0-s', { idem: 'k', body: 'abc' });
    await c.expect('cancel', ['c0-s', ''], ['ok'], `
      + sessions:p:ending: c0-s 1000000
      - idem:p:k
      - sessions:p:starting
      berths:w1: 0 starting|1|a|c0-s|| → cleaning|1|a|c0-s||
      changed:c0-s ! ending
      deadlines: c0-s 1005000 → 1015000
      events << session=c0-s project=p from=starting to=ending reason=cancelled worker=w1 berth=0
      jobs:w1 << kind=stop epoch=1 berth=0 turn=1 session=c0-s profile=a reason=cancelled
      project:p: ending - → 1, starting 1 → 0
      session:c0-s: ending - → 1000000, reason - → cancelled, state starting → ending
      worker:w1: cleaning 0 → 1, starting 1 → 0
    `);
    await c.warm('w1', 1);
    await c.admit('c0-t');
    await c.expect('cancel', ['c0-t', 'p'], ['ok'], `
      - sessions:p:running
      berths:w1: 1 taken|1|a|c0-t|f00d| → cleaning|1|a|c0-t||
      changed:c0-t ! ending
      deadlines: c0-t 1060000 → 1015000
      events << session=c0-t project=p from=running to=ending reason=cancelled worker=w1 berth=1
      jobs:w1 << kind=stop epoch=1 berth=1 turn=1 session=c0-t profile=a reason=cancelled
      project:p: ending 1 → 2, running 1 → 0
      session:c0-t: ending - → 1000000, reason - → cancelled, state running → ending
      sessions:p:ending: c0-t - → 1000000
      worker:w1: cleaning 1 → 2, taken 1 → 0
    `);
  });

  it('leaves a session that a second request has adopted', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s', { idem: 'k', body: 'abc' });
    assert.equal((await c.call('admit', ...c.admission('c0-t', { idem: 'k', body: 'abc' })))[2], 1);
    const kept = await c.idle('cancel', ['c0-s', 'p'], ['ok']);
    assert.equal(flat(kept[1]).state, 'starting');
    await c.idle('cancel', ['c0-t', 'p'], ['not_found']);
  });

  it('leaves a key that belongs to another session', async (c) => {
    await c.worker('w1', 2);
    await c.admit('c0-s', { idem: 'k', body: 'abc' });
    await c.redis.set('berth:{c0}:idem:p:k', 'c0-t abc');
    await c.set('cancel', 'c0-s', 'p');
    assert.equal(await c.redis.get('berth:{c0}:idem:p:k'), 'c0-t abc');
  });

  it('does not find what is not there, or another project\'s', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.idle('cancel', ['c0-t', ''], ['not_found']);
    await c.idle('cancel', ['c0-s', 'q'], ['not_found']);
    await c.idle('cancel', ['s', ''], ['bad_argument', '2']);
  });
});
