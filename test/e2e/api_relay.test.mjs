// CDP through the API: its relay, who may use it, and sessions that are one connection.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { waitFor } from './harness.mjs';
import { ID, UNKNOWN, fleet, create, keyFile } from './api_fleet.mjs';

/** Opens a WebSocket; { ws, head } or { status, body }. */
function open(url, options) {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url, { perMessageDeflate: false, ...options });
    let head;
    ws.on('upgrade', (response) => (head = response.headers));
    ws.on('open', () => resolve({ ws, head }));
    ws.on('unexpected-response', async (request, response) => {
      let text = '';
      for await (const part of response) text += part;
      resolve({ status: response.statusCode, body: JSON.parse(text) });
    });
    ws.on('error', reject);
  });
}

async function echo(ws, text) {
  const back = once(ws, 'message');
  ws.send(text);
  assert.equal((await back)[0].toString(), text);
}

test('CDP through the API', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_CONNECT: 'relay' } });
  const { secret } = await fake.warm();
  const { body: s } = await create(stack);
  assert.equal(s.connectUrl, `ws://127.0.0.1:${stack.apis[0].port}/v1/sessions/${s.id}/cdp?token=${secret}`);
  assert.equal(s.debugHttpUrl, null);
  const behind = await stack.request('GET', `/v1/sessions/${s.id}`, undefined, { 'x-forwarded-proto': 'https' });
  assert.match(behind.body.connectUrl, /^wss:\/\//);
  const { ws } = await open(s.connectUrl);
  assert.equal(fake.upgrades[0].url, `/s/${secret}`);
  assert.equal(fake.upgrades[0].headers.origin, undefined);
  await echo(ws, 'hello');
  await echo(ws, 'x'.repeat(3000000));
  assert.match((await stack.request('GET', '/metrics')).text, /berth_relays 1/);
  const closed = once(ws, 'close');
  for (const socket of fake.sockets) socket.close(1000, 'released');
  assert.deepEqual((await closed).map(String), ['1000', 'released']);

  assert.equal((await stack.request('GET', `/v1/sessions/${s.id}/cdp`)).status, 426);
  assert.equal((await open(`${s.connectUrl.split('/v1')[0]}/v1/sessions/${UNKNOWN}/cdp`)).status, 404);
  fake.refuse = 404;
  assert.equal((await open(s.connectUrl)).status, 410);
  fake.refuse = 500;
  assert.equal((await open(s.connectUrl)).status, 502);
  fake.refuse = 0;
  const queued = (await create(stack, {}, {}, '?wait=0')).body;
  const base = s.connectUrl.split('/v1')[0];
  assert.equal((await open(`${base}/v1/sessions/${queued.id}/cdp`)).status, 409);
  await stack.request('DELETE', `/v1/sessions/${queued.id}`);
  await stack.request('DELETE', `/v1/sessions/${s.id}`);
  assert.equal((await open(s.connectUrl)).status, 410);
  await fake.close();
});

test('a token opens its own session only, a key its project\'s', async (t) => {
  const { stack, fake } = await fleet(t, { apis: 0 });
  await stack.addApi({ BERTH_API_KEYS: keyFile(stack, [
    { key: 'maker', project: 'acme', scopes: ['create'] }, { key: 'reader', project: 'acme', scopes: ['read'] }, { key: 'stranger', project: 'other', scopes: ['create'] }]) });
  const one = await fake.warm();
  const { body: s } = await create(stack, {}, { authorization: 'Bearer maker' });
  const url = `ws://127.0.0.1:${stack.apis[0].port}/v1/sessions/${s.id}/cdp`;
  const { ws } = await open(`${url}?token=${one.secret}`);
  await echo(ws, 'by token');
  ws.terminate();
  const { ws: keyed } = await open(`${url}?apiKey=maker`);
  await echo(keyed, 'by key');
  keyed.terminate();
  assert.equal((await open(url)).status, 401);
  assert.equal((await open(`${url}?token=${one.secret.slice(0, -1)}x`)).status, 401);
  assert.equal((await open(`${url}?token=`)).status, 401);
  assert.equal((await open(`${url}?apiKey=reader`)).status, 403);
  assert.equal((await open(`${url}?apiKey=stranger`)).status, 404);
  assert.equal((await open(`ws://127.0.0.1:${stack.apis[0].port}/?apiKey=reader`)).status, 403);
  assert.equal((await open(`ws://127.0.0.1:${stack.apis[0].port}/?apiKey=wrong`)).status, 401);
});

test('a session for one connection ends with it', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 } });
  await fake.warm();
  const base = `ws://127.0.0.1:${stack.apis[0].port}`;
  const { ws, head } = await open(`${base}/?apiKey=any&timeoutSec=77&keepAlive=false`);
  const id = head['x-session-id'];
  assert.match(id, ID);
  assert.equal((await stack.session(id)).timeout_ms, '77000');
  await echo(ws, 'hello');
  ws.close();
  await waitFor(async () => (await stack.session(id)).reason === 'disconnected');
  await fake.stopped();

  // Queueing counts: it waits for a browser, and one that leaves while it waits is cancelled.
  const pending = open(`${base}/connect?timeout=60000`);
  const job = await fake.job('start');
  const waiting = new WebSocket(`${base}/`);
  waiting.on('error', () => {});
  const [queued] = await waitFor(async () => {
    const found = await stack.sessions('queued');
    return found.length && found;
  });
  waiting.terminate();
  await waitFor(async () => (await stack.session(queued)).reason === 'cancelled');
  await fake.ready(job);
  const second = await pending;
  assert.equal((await stack.session(job.session)).timeout_ms, '60000');
  await echo(second.ws, 'again');
  for (const socket of fake.sockets) socket.terminate();
  await once(second.ws, 'close');
  await waitFor(async () => (await stack.session(job.session)).reason === 'disconnected');
  await fake.stopped();

  // A gateway that cannot be reached: an ordinary error, and the session is released.
  await fake.warm();
  await fake.close();
  const refused = await open(`${base}/`);
  assert.deepEqual([refused.status, refused.body.error.code], [502, 'bad_gateway']);
  await waitFor(async () => (await stack.sessions('running')).length === 0);
  for (const query of ['?timeoutSec=x', '?timeoutSec=0', '?profile=a%20b', '?timeout=1e99']) assert.equal((await open(`${base}/${query}`)).status, 400, query);
  assert.equal((await stack.request('GET', '/connect')).status, 426);
});
