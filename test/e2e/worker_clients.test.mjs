// The worker's own clocks: sessions end by their lifetime, by idling, when their clients have left; and clients that are early.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { waitFor } from './harness.mjs';
import { Cdp } from './cdp.mjs';
import { start, admit, release, state, settled } from './worker_alone.mjs';

const connect = (session) => Cdp.open(`${session.gateway}/s/${session.secret}`);

test('a session ends by its lifetime', async (t) => {
  const stack = await start(t, {}, { sweep: false }); // the worker's own timer, not the sweep's
  const session = await admit(stack, { timeout: 300 });
  assert.equal((await state(stack, session.id, 'ended')).reason, 'timeout');
});

test('a session ends when its client does nothing', async (t) => {
  const stack = await start(t, {}, { sweep: false });
  const session = await admit(stack, { idle: 300 });
  assert.equal((await state(stack, session.id, 'ended')).reason, 'idle');
});

test('a session without keepAlive to which nobody connects ends; one with keepAlive stays', async (t) => {
  const stack = await start(t, { BERTH_CONNECT_TIMEOUT: '300ms' }, { sweep: false });
  const kept = await admit(stack, { keepAlive: 1 });
  const cold = await admit(stack, { keepAlive: 0 });
  assert.equal((await state(stack, cold.id, 'ended')).reason, 'disconnected');
  assert.equal((await stack.session(kept.id)).state, 'running');
  await release(stack, kept.id);
});

test('clients come and go: the session ends a grace after the last one left, and says why to who is still there', async (t) => {
  const stack = await start(t, { BERTH_DISCONNECT_GRACE: '200ms', BERTH_CONNECT_TIMEOUT: '60s' }, { sweep: false });
  const left = await admit(stack, { keepAlive: 0 });
  const first = await connect(left);
  const second = await connect(left);
  assert.equal((await first.send('Browser.getVersion')).product, 'Sim/1.0');
  await first.close();
  await stack.workers[0].logged(new RegExp(`clients .*session=${left.id} n=1`));
  await second.close();
  assert.equal((await state(stack, left.id, 'ended')).reason, 'disconnected');

  const kept = await admit(stack, { keepAlive: 1 });
  const client = await connect(kept);
  await client.close();
  const again = await connect(kept);
  await release(stack, kept.id);
  const { code, reason } = await again.closed;
  assert.equal(code, 1000, reason);
  await state(stack, kept.id, 'ended');
});

test('what clients do keeps a session from being idle', async (t) => {
  const stack = await start(t, {}, { sweep: false });
  const session = await admit(stack, { idle: 6000 });
  const client = await connect(session);
  const begun = Date.now();
  await waitFor(async () => (await client.send('Browser.getVersion'), Date.now() - begun > 8000), { what: 'eight seconds of activity', every: 100 });
  assert.equal((await stack.session(session.id)).state, 'running');
  const { reason } = await client.closed; // nothing is sent from here on
  assert.match(reason, /idle/);
  assert.equal((await state(stack, session.id, 'ended')).reason, 'idle');
});

test('a client that connects before the claim was read is not early', async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 1, BERTH_WARM: 1 });
  const [worker] = stack.workers;
  const record = await stack.redis.hget(stack.key(`berths:${worker.id}`), '0');
  const client = await Cdp.open(`ws://${worker.gateway}/s/${record.split('|')[4]}`);
  await worker.logged(/clients .*session="" n=1/);
  const session = await admit(stack);
  await worker.logged(new RegExp(`session=${session.id} from=warm to=taken`));
  assert.equal((await client.send('Browser.getVersion')).product, 'Sim/1.0');
  await release(stack, session.id);
  await client.closed;
});

test('a client on a warm berth that nobody claims is put out, and the berth made anew', { timeout: 400000 }, async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 1, BERTH_WARM: 1 });
  const [worker] = stack.workers;
  const record = await stack.redis.hget(stack.key(`berths:${worker.id}`), '0');
  const client = await Cdp.open(`ws://${worker.gateway}/s/${record.split('|')[4]}`);
  await client.closed;
  await worker.logged(/client_without_claim/);
  await settled(stack, { warm: 1 });
  assert.notEqual((await stack.redis.hget(stack.key(`berths:${worker.id}`), '0')).split('|')[4], record.split('|')[4]);
});
