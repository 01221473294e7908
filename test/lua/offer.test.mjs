// lua/offer.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import { suite } from './cell.mjs';

const offer = (o = {}) => {
  const d = { worker: 'w1', epoch: '1', berth: '0', turn: '1', profile: 'a', secret: 'f00d', timings: '{"ms":80}', ...o };
  return [d.worker, d.epoch, d.berth, d.turn, d.profile, d.secret, d.timings, 'pack'];
};

suite('offer', (it) => {
  it('makes a reserved berth warm, once', async (c) => {
    await c.worker('w1', 2, 'a,b');
    await c.set('reserve', 'w1', '1', 'a');
    await c.expect('offer', offer(), ['ok', 'warm'], `
      + spare:b: w1 1
      + warm:a: w1/0 1
      berths:w1: 0 starting|1|a||| → warm|1|a||f00d|{"ms":80}
      worker:w1: starting 1 → 0, warm 0 → 1
    `);
    await c.idle('offer', offer(), ['ok', 'warm']);
    await c.idle('offer', offer({ secret: 'beef' }), ['stale_turn']);
  });

  it('gives it to the head of its queue', async (c) => {
    await c.worker('w1', 1);
    await c.set('reserve', 'w1', '1', 'a');
    await c.admit('c0-s');
    await c.expect('offer', offer(), ['ok', 'taken'], `
      + sessions:p:running: c0-s 1000000
      - queue:a
      - sessions:p:queued
      berths:w1: 0 starting|1|a||| → taken|1|a|c0-s|f00d|{"ms":80}
      cell: queued 1 → 0, vtime:a - → 1
      changed:c0-s ! running
      deadlines: c0-s 1020000 → 1060000
      events << session=c0-s project=p from=queued to=running worker=w1 berth=0
      jobs:w1 << kind=claim epoch=1 berth=0 turn=1 session=c0-s profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      project:p: queued 1 → 0, running - → 1
      session:c0-s: berth - → 0, epoch - → 1, expires - → 1060000, gateway - → http://w1, running - → 1000000, secret
      & - → f00d, state queued → running, timings - → {"ms":80}, turn - → 1, warm - → 1, worker - → w1
      worker:w1: starting 1 → 0, taken 0 → 1
    `);
    await c.idle('offer', offer(), ['ok', 'taken']);
  });

  it('is given up at once for another profile of the worker that waits', async (c) => {
    await c.worker('w1', 1, 'a,b');
    await c.set('reserve', 'w1', '1', 'a');
    await c.admit('c0-s', { profile: 'b' });
    await c.expect('offer', offer(), ['ok', 'warm'], `
      + sessions:p:starting: c0-s 1000000
      - queue:b
      - sessions:p:queued
      berths:w1: 0 starting|1|a||| → starting|2|b|c0-s||
      cell: queued 1 → 0, vtime:b - → 1
      changed:c0-s ! starting
      deadlines: c0-s 1020000 → 1005000
      events << session=c0-s project=p from=queued to=starting worker=w1 berth=0
      jobs:w1 << kind=start epoch=1 berth=0 turn=2 session=c0-s profile=b timeout_ms=60000 idle_ms=0 keep_alive=0
      project:p: queued 1 → 0, starting - → 1
      session:c0-s: attempts 0 → 1, berth - → 0, epoch - → 1, gateway - → http://w1, starting - → 1000000, state
      & queued → starting, turn - → 2, warm - → 0, worker - → w1
    `);
    await c.idle('offer', offer(), ['stale_turn']);
  });

  it('serves its own profile under pressure, and no other', async (c) => {
    await c.worker('w1', 2, 'a,b');
    await c.set('reserve', 'w1', '1', 'a');
    await c.set('reserve', 'w1', '1', 'a');
    await c.set('heartbeat', 'w1', '1', '10000', '1', '0', '0', '0', '0', 'pack');
    await c.admit('c0-b', { profile: 'b' });
    await c.admit('c0-a', { profile: 'a' });
    await c.expect('offer', offer(), ['ok', 'taken'], `
      + sessions:p:running: c0-a 1000000
      - queue:a
      berths:w1: 0 starting|1|a||| → taken|1|a|c0-a|f00d|{"ms":80}
      cell: queued 2 → 1, vtime:a - → 1
      changed:c0-a ! running
      deadlines: c0-a 1020000 → 1060000
      events << session=c0-a project=p from=queued to=running worker=w1 berth=0
      jobs:w1 << kind=claim epoch=1 berth=0 turn=1 session=c0-a profile=a timeout_ms=60000 idle_ms=0 keep_alive=0
      project:p: queued 2 → 1, running - → 1
      session:c0-a: berth - → 0, epoch - → 1, expires - → 1060000, gateway - → http://w1, running - → 1000000, secret
      & - → f00d, state queued → running, timings - → {"ms":80}, turn - → 1, warm - → 1, worker - → w1
      sessions:p:queued: c0-a 1000000 → -
      worker:w1: starting 2 → 1, taken 0 → 1
    `);
    await c.expect('offer', offer({ berth: '1', secret: 'beef' }), ['ok', 'warm'], `
      + warm:a: w1/1 1
      berths:w1: 1 starting|1|a||| → warm|1|a||beef|{"ms":80}
      worker:w1: starting 1 → 0, warm 0 → 1
    `);
  });

  it('is cleaned on a draining worker', async (c) => {
    await c.worker('w1', 1);
    await c.set('reserve', 'w1', '1', 'a');
    await c.set('drain', 'w1', 'drain', '', 'pack');
    await c.expect('offer', offer({ timings: '' }), ['ok', 'warm'], `
      berths:w1: 0 starting|1|a||| → cleaning|1|a|||
      jobs:w1 << kind=stop epoch=1 berth=0 turn=1 profile=a reason=drained
      worker:w1: cleaning 0 → 1, starting 1 → 0
    `);
    await c.idle('offer', offer(), ['stale_turn']);
  });

  it('speaks only for its own berth and turn', async (c) => {
    await c.worker('w1', 2);
    await c.set('reserve', 'w1', '1', 'a');
    await c.admit('c0-s');
    await c.idle('offer', offer({ turn: '0' }), ['stale_turn']);
    await c.idle('offer', offer({ turn: '2' }), ['stale_turn']);
    await c.idle('offer', offer({ profile: 'b' }), ['stale_turn']);
    await c.idle('offer', offer({ berth: '1' }), ['stale_turn']); // a session's
    await c.idle('offer', offer({ berth: '7' }), ['stale_turn']);
    await c.idle('offer', offer({ epoch: '2' }), ['stale_epoch']);
    await c.idle('offer', offer({ worker: 'w2' }), ['unknown_worker']);
    await c.idle('offer', offer({ secret: 'a|b' }), ['bad_argument', '7']);
  });
});
