// lua/ready.lua: each answer it has, and every key it changes for it; what is stale, repeated or malformed changes none.
import { suite } from './cell.mjs';

const ready = (o = {}) => {
  const d = { worker: 'w1', epoch: '1', berth: '0', turn: '1', session: 'c0-s', secret: 'f00d', timings: '{"ms":300}', ...o };
  return [d.worker, d.epoch, d.berth, d.turn, d.session, d.secret, d.timings];
};

suite('ready', (it) => {
  it('lets a starting session run, once', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.expect('ready', ready(), ['ok'], `
      + sessions:p:running: c0-s 1000000
      - sessions:p:starting
      berths:w1: 0 starting|1|a|c0-s|| → taken|1|a|c0-s|f00d|
      changed:c0-s ! running
      deadlines: c0-s 1005000 → 1060000
      events << session=c0-s project=p from=starting to=running worker=w1 berth=0
      project:p: running - → 1, starting 1 → 0
      session:c0-s: expires - → 1060000, running - → 1000000, secret - → f00d, state starting → running, timings - →
      & {"ms":300}
      worker:w1: starting 1 → 0, taken 0 → 1
    `);
    c.now += 500;
    await c.idle('ready', ready(), ['ok']);
    await c.idle('ready', ready({ secret: 'beef' }), ['stale_turn']);
  });

  it('counts on a draining worker too', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.set('drain', 'w1', 'drain', '', 'pack');
    await c.expect('ready', ready({ timings: '' }), ['ok'], `
      + sessions:p:running: c0-s 1000000
      - sessions:p:starting
      berths:w1: 0 starting|1|a|c0-s|| → taken|1|a|c0-s|f00d|
      changed:c0-s ! running
      deadlines: c0-s 1005000 → 1060000
      events << session=c0-s project=p from=starting to=running worker=w1 berth=0
      project:p: running - → 1, starting 1 → 0
      session:c0-s: expires - → 1060000, running - → 1000000, secret - → f00d, state starting → running
      worker:w1: starting 1 → 0, taken 0 → 1
    `);
  });

  it('comes too late for a session that was released', async (c) => {
    await c.worker('w1', 1);
    await c.admit('c0-s');
    await c.set('release', 'c0-s', '', 'released', '', '');
    await c.idle('ready', ready(), ['session_gone']);
    await c.set('freed', 'w1', '1', '0', '1', 'pack');
    await c.idle('ready', ready(), ['session_gone']);
    await c.idle('ready', ready({ session: 'c0-never' }), ['session_gone']);
  });

  it('speaks only for the turn and the session that it was asked to start', async (c) => {
    await c.worker('w1', 2);
    await c.admit('c0-s');
    await c.set('reserve', 'w1', '1', 'a');
    await c.admit('c0-t');
    await c.idle('ready', ready({ turn: '2' }), ['stale_turn']);
    await c.idle('ready', ready({ berth: '1' }), ['stale_turn']);
    await c.idle('ready', ready({ session: 'c0-t' }), ['stale_turn']);
    await c.idle('ready', ready({ epoch: '0' }), ['stale_epoch']);
    await c.idle('ready', ready({ worker: 'w2' }), ['unknown_worker']);
    await c.idle('ready', ready({ secret: '' }), ['bad_argument', '7']);
  });
});
