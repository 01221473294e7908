// lua/heartbeat.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import assert from 'node:assert/strict';
import { suite, T } from './cell.mjs';

const beat = (id, epoch, pressure = '0') => [id, epoch, '10000', pressure, '12.5', '40', '0.75', '2', 'pack'];

suite('heartbeat', (it) => {
  it('renews the lease and takes the load', async (c) => {
    await c.worker('w1', 3);
    await c.warm('w1', 1);
    await c.admit('c0-s');
    await c.warm('w1', 1);
    await c.set('reserve', 'w1', 1, 'a');
    c.now = T + 5000;
    await c.expect('heartbeat', beat('w1', 1), ['ok', 'ready', T + 5000], `
      worker:w1: cpu 0 → 12.5, crashes 0 → 2, load 0 → 0.75, mem 0 → 40, seen 1000000 → 1005000
      workers: w1 1010000 → 1015000
    `);
    assert.deepEqual((await c.call('heartbeat', ...beat('w1', 1))).slice(3), [0, 1, 1, 1, 0]);
    await c.idle('heartbeat', beat('w1', 1), ['ok']);
  });

  it('takes a worker under pressure out of room and spare, but leaves its warm berths', async (c) => {
    await c.worker('w1', 2, 'a,b');
    await c.warm('w1', 1);
    await c.expect('heartbeat', beat('w1', 1, '1'), ['ok', 'ready'], `
      - room:a
      - room:b
      - spare:b
      worker:w1: cpu 0 → 12.5, crashes 0 → 2, load 0 → 0.75, mem 0 → 40, pressure 0 → 1
    `);
    await c.admit('c0-b', { profile: 'b' });
    assert.equal(await c.state('c0-b'), 'queued');
    await c.admit('c0-a', { profile: 'a' });
    assert.equal(await c.state('c0-a'), 'running');
    await c.clean();
  });

  it('serves the queue when the pressure ends: a free berth, then an evicted one', async (c) => {
    await c.worker('w1', 2, 'a,b');
    await c.warm('w1', 1);
    await c.set('heartbeat', ...beat('w1', 1, '1'));
    await c.admit('c0-x', { profile: 'b' });
    await c.admit('c0-y', { profile: 'b' });
    await c.expect('heartbeat', beat('w1', 1, '0'), ['ok', 'ready'], `
      + sessions:p:starting: c0-x 1000000, c0-y 1000000
      - free:w1
      - queue:b
      - sessions:p:queued
      - warm:a
      berths:w1: 0 warm|1|a||f00d| → starting|2|b|c0-y||, 1 free|0|||| → starting|1|b|c0-x||
      cell: queued 2 → 0, vtime:b - → 2
      changed:c0-x ! starting
      changed:c0-y ! starting
      deadlines: c0-x 1020000 → 1005000, c0-y 1020000 → 1005000
      events << session=c0-x project=p from=queued to=starting worker=w1 berth=1
      events << session=c0-y project=p from=queued to=starting worker=w1 berth=0
      jobs:w1 << kind=start epoch=1 berth=0 turn=2 session=c0-y profile=b timeout_ms=60000 idle_ms=0 keep_alive=0
      jobs:w1 << kind=start epoch=1 berth=1 turn=1 session=c0-x profile=b timeout_ms=60000 idle_ms=0 keep_alive=0
      project:p: queued 2 → 0, starting - → 2
      session:c0-x: attempts 0 → 1, berth - → 1, epoch - → 1, gateway - → http://w1, starting - → 1000000, state
      & queued → starting, turn - → 1, warm - → 0, worker - → w1
      session:c0-y: attempts 0 → 1, berth - → 0, epoch - → 1, gateway - → http://w1, starting - → 1000000, state
      & queued → starting, turn - → 2, warm - → 0, worker - → w1
      worker:w1: free 1 → 0, pressure 1 → 0, starting 0 → 2, warm 1 → 0
    `);
  });

  it('keeps out a stale process, and one that is not registered', async (c) => {
    await c.worker('w1');
    await c.worker('w1');
    await c.idle('heartbeat', beat('w1', 1), ['stale_epoch']);
    await c.idle('heartbeat', beat('w1', 3), ['stale_epoch']);
    await c.idle('heartbeat', beat('w2', 2), ['unknown_worker']);
  });

  it('refuses wrong arguments', async (c) => {
    await c.worker('w1');
    await c.idle('heartbeat', beat('w1', 1, '2'), ['bad_argument', '5']);
    await c.idle('heartbeat', ['w1', '1', '0', ...beat('w1', 1).slice(3)], ['bad_argument', '4']);
    await c.idle('heartbeat', ['w1', '1', '1', '0', '1.2.3', '0', '0', '0', 'pack'], ['bad_argument', '6']);
    await c.idle('heartbeat', ['w1', '1', '1', '0', '1', '0', '0', '0', 'heap'], ['bad_argument', '10']);
  });
});
