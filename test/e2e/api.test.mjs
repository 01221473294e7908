// The API alone, with a private Redis and a played worker: every reply a client can get, and every way in which one leaves.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { Browserbase } from '@browserbasehq/sdk';
import { BUILD, startStack, waitFor } from './harness.mjs';
import { FakeWorker } from './fake_worker.mjs';

const ID = /^c0-[a-z2-7]{24}$/;
const UNKNOWN = 'c0-aaaaaaaaaaaaaaaaaaaaaaaa';
const sha256 = (text) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

async function fleet(t, { env, worker, apis } = {}) {
  const stack = await startStack(t, { workers: [], env, apis });
  const fake = worker === false ? null : await FakeWorker.start(t, stack, worker);
  return { stack, fake };
}

const create = (stack, body = {}, headers = {}, query = '') => stack.request('POST', `/v1/sessions${query}`, body, headers);

/** Sends raw bytes; everything that comes back until the server closes, or until `until` matches. */
async function raw(stack, bytes, { until, end = false } = {}) {
  const socket = net.connect(stack.apis[0].port, '127.0.0.1');
  let got = '';
  socket.setEncoding('latin1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(bytes, 'latin1');
  if (end) socket.end();
  await new Promise((resolve) => {
    socket.on('data', (text) => {
      got += text;
      if (until && until.test(got)) resolve();
    });
    socket.on('close', resolve);
  });
  socket.destroy();
  return got;
}

const statusOf = (text) => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);

// ---- creating ------------------------------------------------------------------------------------------------------------

test('a warm browser is handed over with one script call', async (t) => {
  const { stack, fake } = await fleet(t);
  const { secret } = await fake.warm();
  const reply = await create(stack, {
    browser: 'chromium', keepAlive: true, timeoutSec: 300, idleTimeoutSec: 30, region: 'here',
    sessionTags: { team: 'a' }, provider: { tenantId: 't1' }, userMetadata: { order: { id: '7' } }, unknownField: { x: 1 },
    browserSettings: { viewport: { width: 800, height: 600 }, blockAds: true },
  });
  assert.equal(reply.status, 201, reply.text);
  const s = reply.body;
  assert.match(s.id, ID);
  assert.equal(s.sessionId, s.id);
  assert.equal(s.status, 'RUNNING');
  assert.equal(s.state, 'running');
  assert.equal(s.connectUrl, `${fake.gateway}/s/${secret}`);
  for (const name of ['cdpUrl', 'playwrightUrl', 'puppeteerUrl']) assert.equal(s[name], s.connectUrl);
  assert.equal(s.debugHttpUrl, s.connectUrl.replace('ws://', 'http://'));
  assert.equal(s.hostId, 'fake');
  assert.equal(s.projectId, 'default');
  assert.equal(s.runtimeProfile, 'default');
  assert.deepEqual([s.keepAlive, s.timeoutSec, s.idleTimeoutSec, s.region], [true, 300, 30, 'here']);
  assert.deepEqual(s.sessionTags, { team: 'a' });
  assert.deepEqual(s.provider, { tenantId: 't1' });
  assert.deepEqual(s.userMetadata, { order: { id: '7' } });
  assert.deepEqual(s.browserSettings, { viewport: { width: 800, height: 600 }, blockAds: true });
  assert.equal(s.launchTimings.totalMs, 65.5);
  assert.equal(s.controlPlaneTimings.create.warmActual, true);
  assert.equal(Date.parse(s.expiresAt) - Date.parse(s.startedAt), 300000);
  assert.match(reply.headers.get('server-timing'), /^total;dur=[\d.]+, validate;dur=[\d.]+, redis;dur=[\d.]+, wait;dur=[\d.]+$/);
  assert.equal(reply.headers.get('location'), `/v1/sessions/${s.id}`);
  assert.ok(reply.headers.get('x-request-id'));
  assert.equal((await fake.job('claim')).session, s.id);

  const calls = async () => Number(/cmdstat_fcall:calls=(\d+)/.exec(await stack.redis.info('commandstats'))?.[1]);
  await fake.warm();
  // The sweeper calls too: of several tries one falls between two sweeps.
  const deltas = [];
  await waitFor(async () => {
    const before = await calls();
    const again = await create(stack);
    deltas.push((await calls()) - before);
    assert.equal(again.status, 201);
    await stack.request('DELETE', `/v1/sessions/${again.body.id}`);
    await fake.stopped();
    await fake.warm();
    return deltas.at(-1) === 1;
  }, { what: 'a create with one call' });
});

test('an empty body is all defaults; HEAD, OPTIONS and other methods', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  const reply = await stack.request('POST', '/v1/sessions');
  assert.equal(reply.status, 201, reply.text);
  assert.deepEqual([reply.body.keepAlive, reply.body.timeoutSec, reply.body.idleTimeoutSec], [false, 900, 120]);
  const head = await stack.request('HEAD', `/v1/sessions/${reply.body.id}`);
  assert.equal(head.status, 200);
  assert.equal(head.text, '');
  const options = await stack.request('OPTIONS', '/v1/sessions');
  assert.equal(options.status, 204);
  assert.equal(options.headers.get('allow'), 'GET, HEAD, POST, OPTIONS');
  const put = await stack.request('PUT', '/v1/sessions', {});
  assert.equal(put.status, 405);
  assert.equal(put.body.error.code, 'method_not_allowed');
  assert.equal(put.headers.get('allow'), 'GET, HEAD, POST, OPTIONS');
  for (const path of ['/v2/sessions', '/v1/sessions/', '/v1/sessions/a/b', '/v1/hosts/x/explode', '/V1/sessions']) {
    assert.equal((await stack.request('GET', path)).status, 404, path);
  }
});

test('a known field with a wrong type or value is refused by name', async (t) => {
  const { stack } = await fleet(t);
  const refused = {
    browser: ['firefox', 1, []], keepAlive: ['yes', 1], timeoutSec: ['60', 0, -1, 1e9, true], timeout: [0, 1e9, {}],
    idleTimeoutSec: [-1, 1e9, 'x'], proxyProfile: ['eu', 3], runtimeProfile: ['', 'a b', '../x', 5, 'x'.repeat(65)],
    region: [5, 'x'.repeat(300)], provider: [[], 'x', { a: 1 }], projectId: [7, 'a b', ''],
    sessionTags: [[], { a: 1 }, Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v']))],
    userMetadata: [[], 'x', 3], browserSettings: [[], 'x'], proxies: [true, [{ type: 'browserbase' }]], extensionId: ['abc'],
    proxySettings: [{ caCertificates: ['a'] }],
  };
  for (const [field, values] of Object.entries(refused)) {
    for (const value of values) {
      const reply = await create(stack, { [field]: value });
      assert.equal(reply.status, 400, `${field}=${JSON.stringify(value)} ${reply.text}`);
      assert.equal(reply.body.error.code, 'bad_field');
      assert.equal(reply.body.error.field, field);
      assert.ok(reply.body.error.message.startsWith(`${field}: `), reply.body.error.message);
    }
  }
  for (const name of ['context', 'extensionId', 'allowedDomains']) {
    const value = { context: { id: 'x' }, extensionId: 'x', allowedDomains: ['example.com'] }[name];
    const reply = await create(stack, { browserSettings: { [name]: value } });
    assert.equal(reply.body.error.field, `browserSettings.${name}`);
  }
  assert.equal((await create(stack, { timeout: 60, timeoutSec: 61 })).body.error.field, 'timeout');
  // Harmless: the same meaning twice, nothing asked for, null.
  for (const body of [{ timeout: 60, timeoutSec: 60 }, { proxies: false }, { proxies: [] }, { keepAlive: null }, { extensionId: '' }]) {
    assert.equal((await create(stack, body, {}, '?wait=0')).status, 202, JSON.stringify(body));
  }
  for (const [query, field] of [['?wait=x', 'wait'], ['?wait=-1', 'wait'], ['?wait=99999', 'wait'], ['?wait=nan', 'wait']]) {
    const reply = await create(stack, {}, {}, query);
    assert.equal(reply.status, 400);
    assert.deepEqual([reply.body.error.code, reply.body.error.field], ['bad_query', field]);
  }
});

test('hostile bodies', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  const post = (body, headers = {}) => stack.request('POST', '/v1/sessions', body, headers);
  const deep = '['.repeat(10000) + ']'.repeat(10000);
  for (const body of ['{', '[]', '"x"', '{}x', '{"a":1,}', "{'a':1}", '{"a":01}', '{"timeoutSec":NaN}', '{"timeoutSec":1e999}', `{"a":${deep}}`,
    '{"keepAlive":true,"keepAlive":false}', '{"a":"\u0001"}', '{"userMetadata":{"a":"\\u0000"}}', '{"userMetadata":{"a":"\\ud800"}}']) {
    const reply = await post(body);
    assert.equal(reply.status, 400, `${body.slice(0, 60)} ${reply.text}`);
    assert.equal(reply.body.error.code, 'bad_json');
  }
  const utf8 = await raw(stack, 'POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"region":"\xff"}');
  assert.equal(statusOf(utf8), 400, utf8);
  assert.match(utf8, /bad_json/);
  assert.equal((await post('{}', { 'content-type': 'text/plain' })).status, 415);
  assert.equal((await post('a=b', { 'content-type': 'application/x-www-form-urlencoded' })).status, 415);
  assert.equal((await post('{}', { 'content-type': 'application/json; charset=utf-8' })).status, 201);
  assert.equal((await post(JSON.stringify({ userMetadata: { a: 'x'.repeat(70000) } }))).status, 413);
  const tight = JSON.stringify({ userMetadata: { a: 'x'.repeat(60500) } });
  assert.equal((await post(tight)).body.error.field, 'userMetadata');
});

test('hostile connections: the right status, a stable code, and the connection never confused', async (t) => {
  const { stack } = await fleet(t, { worker: false, env: { BERTH_REQUEST_TIMEOUT: '3s' } });
  const head = 'Host: localhost\r\n';
  const cases = [
    ['a second request after a good one', `GET /healthz HTTP/1.1\r\n${head}\r\nGET /healthz HTTP/1.1\r\n${head}Connection: close\r\n\r\n`, [200, 200]],
    ['a request after an error with a body', `POST /nope HTTP/1.1\r\n${head}Content-Length: 3\r\n\r\nabcGET /healthz HTTP/1.1\r\n${head}Connection: close\r\n\r\n`, [404, 200]],
    ['a chunked body', `POST /v1/sessions HTTP/1.1\r\n${head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n`, [503]],
    ['garbage', 'hello\r\n\r\n', [400]],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [505]],
    ['HTTP/3.7', `GET / HTTP/3.7\r\n${head}\r\n`, [505]],
    ['a body that is too long', `POST /v1/sessions HTTP/1.1\r\n${head}Content-Length: 99999999\r\n\r\n`, [413]],
    ['a negative length', `POST /v1/sessions HTTP/1.1\r\n${head}Content-Length: -1\r\n\r\n`, [400]],
    ['two lengths', `POST /v1/sessions HTTP/1.1\r\n${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, [400]],
    ['a length and chunks', `POST /v1/sessions HTTP/1.1\r\n${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, [400]],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', [400]],
    ['two Hosts', `GET / HTTP/1.1\r\n${head}${head}\r\n`, [400]],
    ['a space before the colon', `GET / HTTP/1.1\r\n${head}X : y\r\n\r\n`, [400]],
    ['a folded header', `GET / HTTP/1.1\r\n${head}X: a\r\n b\r\n\r\n`, [400]],
    ['an unknown expectation', `POST /v1/sessions HTTP/1.1\r\n${head}Expect: tea\r\nContent-Length: 2\r\n\r\n{}`, [417]],
    ['a long target', `GET /${'x'.repeat(9000)} HTTP/1.1\r\n${head}\r\n`, [414]],
    ['large headers', `GET / HTTP/1.1\r\n${head}X: ${'y'.repeat(20000)}\r\n\r\n`, [431]],
    ['dot segments', `GET /v1/../healthz HTTP/1.1\r\n${head}\r\n`, [400]],
    ['a bad escape', `GET /%zz HTTP/1.1\r\n${head}\r\n`, [400]],
    ['an escaped NUL', `GET /v1/sessions/%00 HTTP/1.1\r\n${head}\r\n`, [400]],
    ['a head that never ends', 'GET / HTTP/1.1\r\nHost: local', [408]],
    ['a body that never ends', `POST /v1/sessions HTTP/1.1\r\n${head}Content-Length: 5\r\n\r\n{`, [408]],
    ['CONNECT', 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n', [501, 400]],
  ];
  for (const [what, bytes, expected] of cases) {
    const got = await raw(stack, bytes);
    const statuses = [...got.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => Number(m[1]));
    if (what === 'CONNECT') assert.ok(expected.includes(statuses[0]), `${what}: ${got}`);
    else assert.deepEqual(statuses, expected, `${what}: ${got}`);
    if (statuses[0] >= 400) assert.match(got, /"error":\{"code":"[a-z0-9_]+","message":/, what);
  }
  const go = await raw(stack, `POST /v1/sessions HTTP/1.1\r\n${head}Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`, { until: /100 Continue\r\n\r\n/ });
  assert.match(go, /^HTTP\/1\.1 100 Continue/);
  assert.equal((await stack.request('GET', '/healthz')).status, 200);
});

test('without API keys only local names and pages are served', async (t) => {
  const { stack } = await fleet(t, { worker: false, env: { BERTH_PUBLIC_URL: 'https://berth.example' } });
  const get = (headers) => raw(stack, `GET /v1/stats HTTP/1.1\r\nConnection: close\r\n${headers}\r\n`);
  for (const good of ['Host: localhost:1', 'Host: 127.0.0.1', 'Host: [::1]:3', 'Host: a.localhost', 'Host: berth.example', 'Host: localhost\r\nOrigin: http://localhost:5173']) {
    assert.equal(statusOf(await get(`${good}\r\n`)), 200, good);
  }
  for (const bad of ['Host: evil.example', 'Host: 127.0.0.1.evil.example', 'Host: localhost\r\nOrigin: https://evil.example', 'Host: localhost\r\nOrigin: null']) {
    const got = await get(`${bad}\r\n`);
    assert.equal(statusOf(got), 403, bad);
    assert.match(got, /"code":"forbidden"/);
  }
});

// ---- waiting -------------------------------------------------------------------------------------------------------------

test('a cold start is waited for; a failed one is tried again, three times in all', async (t) => {
  const { stack, fake } = await fleet(t);
  const pending = create(stack);
  await fake.failed(await fake.job('start'));
  const job = await fake.job('start');
  await fake.ready(job);
  const reply = await pending;
  assert.equal(reply.status, 201, reply.text);
  assert.equal(reply.body.launchTimings.totalMs, 120);
  assert.equal(reply.body.controlPlaneTimings.create.warmActual, false);
  assert.match(reply.headers.get('server-timing'), /wait;dur=[1-9]/);
});

test('a start that fails for good is 502 with the reason', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 8 } });
  const pending = create(stack);
  for (let i = 0; i < 3; i++) await fake.failed(await fake.job('start'), 'no such binary');
  const reply = await pending;
  assert.equal(reply.status, 502, reply.text);
  assert.equal(reply.body.error.code, 'start_failed');
  assert.equal(reply.body.error.cause, 'no such binary');
  assert.match(reply.body.error.sessionId, ID);
  const { body } = await stack.request('GET', `/v1/sessions/${reply.body.error.sessionId}`);
  assert.deepEqual([body.status, body.state, body.reason], ['ERROR', 'ended', 'start_failed']);
});

test('wait=0 and Prefer answer 202 with the position; a bounded wait answers 202 when it is over', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 } });
  await fake.warm();
  assert.equal((await create(stack)).status, 201);
  const first = await create(stack, {}, {}, '?wait=0');
  assert.equal(first.status, 202);
  assert.deepEqual([first.body.status, first.body.state, first.body.queuePosition], ['PENDING', 'queued', 1]);
  assert.equal(first.body.connectUrl, undefined);
  assert.equal(first.body.startedAt, null);
  const second = await create(stack, {}, { prefer: 'respond-async' });
  assert.deepEqual([second.status, second.body.queuePosition], [202, 2]);
  const third = await create(stack, {}, {}, '?wait=0.05');
  assert.deepEqual([third.status, third.body.queuePosition], [202, 3]);
  const got = await stack.request('GET', `/v1/sessions/${second.body.id}`);
  assert.equal(got.body.queuePosition, 2);
});

test('a queued create is answered when a berth is free, and 504 when its time is over', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_QUEUE_WAIT: '6s' } });
  await fake.warm();
  const running = (await create(stack)).body;
  const waiting = create(stack);
  await waitFor(async () => (await stack.sessions('queued')).length === 1);
  assert.equal((await stack.request('DELETE', `/v1/sessions/${running.id}`)).status, 204);
  await fake.stopped();
  await fake.ready(await fake.job('start'));
  const served = await waiting;
  assert.equal(served.status, 201, served.text);
  const late = await create(stack);
  assert.equal(late.status, 504, late.text);
  assert.equal(late.body.error.code, 'queue_timeout');
  assert.ok(late.headers.get('retry-after'));
});

test('a client that hangs up while it waits is cancelled at once, on every path', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 } });
  const leave = async (send, state) => {
    const controller = new AbortController();
    const pending = send({ signal: controller.signal }).catch((e) => e.name);
    const [id] = await waitFor(async () => {
      const found = await stack.sessions(state);
      return found.length && found;
    });
    controller.abort();
    assert.equal(await pending, 'AbortError');
    await waitFor(async () => ['ending', 'ended'].includes((await stack.session(id)).state), { what: 'the cancel' });
    assert.equal((await stack.session(id)).reason, 'cancelled');
    return id;
  };
  const post = (query = '', headers = {}) => (options) => stack.request('POST', `/v1/sessions${query}`, {}, headers, options);
  await leave(post(), 'starting');
  await fake.stopped();
  await fake.warm();
  const running = (await create(stack)).body;
  await leave(post(), 'queued');
  await leave(post('?wait=30'), 'queued');
  await leave(post('', { 'idempotency-key': 'k' }), 'queued');
  // The key is free again.
  const again = await create(stack, {}, { 'idempotency-key': 'k' }, '?wait=0');
  assert.equal(again.status, 202);
  await stack.request('DELETE', `/v1/sessions/${running.id}`);
});

test('an admit whose answer comes after the client has gone is cancelled', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  stack.redisServer.signal('SIGSTOP');
  const socket = net.connect(stack.apis[0].port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n');
  // It came first, so it has been read when others, one after the other, have been answered on another connection.
  for (let i = 0; i < 5; i++) await stack.request('GET', '/healthz');
  socket.destroy();
  await stack.apis[0].logged(/session_abandoned/);
  stack.redisServer.signal('SIGCONT');
  await fake.stopped();
  const [id] = await waitFor(async () => {
    const ended = await stack.sessions('ended');
    return ended.length && ended;
  });
  assert.equal((await stack.session(id)).reason, 'cancelled');
});

test('Idempotency-Key: the same body gives the same session, another one 409', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  const headers = { 'idempotency-key': 'order 7' };
  const first = await create(stack, { region: 'x' }, headers);
  assert.equal(first.status, 201);
  assert.equal(first.headers.get('idempotent-replayed'), null);
  const second = await create(stack, { region: 'x' }, headers);
  assert.deepEqual([second.status, second.body.id, second.body.connectUrl], [201, first.body.id, first.body.connectUrl]);
  assert.equal(second.headers.get('idempotent-replayed'), 'true');
  const other = await create(stack, { region: 'y' }, headers);
  assert.deepEqual([other.status, other.body.error.code], [409, 'idempotency_mismatch']);
  await stack.request('DELETE', `/v1/sessions/${first.body.id}`);
  await fake.stopped();
  const ended = await create(stack, { region: 'x' }, headers);
  assert.deepEqual([ended.status, ended.body.id, ended.body.status], [200, first.body.id, 'COMPLETED']);
  assert.equal((await create(stack, {}, { 'idempotency-key': 'x'.repeat(256) })).status, 400);

  // Two that wait for one session; one of them leaving does not take it from the other.
  const controller = new AbortController();
  const send = (signal) => stack.request('POST', '/v1/sessions', {}, { 'idempotency-key': 'both' }, { signal });
  const one = send(controller.signal).catch(() => {});
  const job = await fake.job('start');
  const two = send();
  await waitFor(async () => /berth_waiting_creates 2/.test((await stack.request('GET', '/metrics')).text));
  controller.abort();
  await one;
  await waitFor(async () => /berth_waiting_creates 1/.test((await stack.request('GET', '/metrics')).text));
  await fake.ready(job);
  assert.equal((await two).body.id, job.session);
});

test('limits: 429 with Retry-After and the numbers, 503 without a worker for the profile', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_PROJECT_QUEUE: 1, BERTH_QUEUE: 2 } });
  await fake.warm();
  assert.equal((await create(stack)).status, 201);
  const none = await create(stack, { runtimeProfile: 'gpu' });
  assert.deepEqual([none.status, none.body.error.code, none.body.error.profile], [503, 'no_worker', 'gpu']);
  assert.ok(none.headers.get('retry-after'));
  const wait = (project) => create(stack, { projectId: project }, {}, '?wait=0');
  assert.equal((await wait('a')).status, 202);
  const own = await wait('a');
  assert.equal(own.status, 429);
  assert.deepEqual([own.body.error.code, own.body.error.limit, own.body.error.used], ['project_queue_full', 1, 1]);
  assert.equal((await wait('b')).status, 202);
  const all = await wait('c');
  assert.deepEqual([all.body.error.code, all.body.error.limit, all.body.error.used], ['queue_full', 2, 2]);
  await stack.script('limits', 'b', 1, '');
  const many = await wait('b');
  assert.equal(many.status, 429);
  assert.deepEqual([many.body.error.code, many.body.error.limit, many.body.error.used], ['concurrency_limit', 1, 1]);
  assert.ok(many.headers.get('retry-after'));
});

// ---- sessions ------------------------------------------------------------------------------------------------------------

test('get, long poll, release, events, metrics of one session', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  const { body: s } = await create(stack);
  const got = await stack.request('GET', `/v1/sessions/${s.id}`);
  assert.equal(got.status, 200);
  assert.equal(got.body.connectUrl, s.connectUrl);
  for (const id of [UNKNOWN, 'nonsense', 'c1-aaaaaaaaaaaaaaaaaaaaaaaa', 'x'.repeat(65)]) {
    const reply = await stack.request('GET', `/v1/sessions/${id}`);
    assert.equal(reply.status, 404, id);
    assert.equal(reply.body.error.code, 'not_found');
  }
  // What the client saw last is already old: answered at once.
  const old = await stack.request('GET', `/v1/sessions/${s.id}?wait=60&state=starting`);
  assert.equal(old.body.state, 'running');
  // Nothing happens: the state as it is.
  const quiet = await stack.request('GET', `/v1/sessions/${s.id}?wait=0.05`);
  assert.equal(quiet.body.state, 'running');
  const polls = [1, 2, 3].map(() => stack.request('GET', `/v1/sessions/${s.id}?wait=60`));
  await waitFor(async () => /berth_long_polls 3/.test((await stack.request('GET', '/metrics')).text));
  const released = await stack.request('POST', `/v1/sessions/${s.id}`, { status: 'REQUEST_RELEASE' });
  assert.equal(released.status, 200);
  assert.deepEqual([released.body.status, released.body.state, released.body.reason], ['COMPLETED', 'ending', 'released']);
  assert.equal(released.body.connectUrl, undefined);
  for (const poll of await Promise.all(polls)) assert.equal(poll.body.state, 'ending');
  const last = stack.request('GET', `/v1/sessions/${s.id}?wait=60&state=ending`);
  await fake.stopped();
  const ended = await last;
  assert.equal(ended.body.state, 'ended');
  assert.ok(ended.body.endedAt);
  // Release is idempotent, and waiting for an ended session has no point.
  assert.equal((await stack.request('DELETE', `/v1/sessions/${s.id}`)).status, 204);
  assert.equal((await stack.request('DELETE', `/v1/sessions/${s.id}`)).status, 204);
  assert.equal((await stack.request('DELETE', `/v1/sessions/${UNKNOWN}`)).status, 404);
  assert.equal((await stack.request('GET', `/v1/sessions/${s.id}?wait=60`)).body.state, 'ended');
  const events = await stack.request('GET', `/v1/sessions/${s.id}/events`);
  assert.deepEqual(events.body.map((e) => e.state), ['running', 'ending', 'ended']);
  assert.equal(events.body[2].reason, 'released');
  const metrics = await stack.request('GET', `/v1/sessions/${s.id}/metrics`);
  assert.equal(metrics.body.start, 'warm');
  assert.ok(metrics.body.runningMs >= 0);
  for (const body of [{}, { status: 'x' }, { status: 1 }, { status: 'REQUEST_RELEASE', projectId: 5 }]) {
    assert.equal((await stack.request('POST', `/v1/sessions/${s.id}`, body)).status, 400);
  }
  assert.equal((await stack.request('POST', `/v1/sessions/${UNKNOWN}`, { status: 'REQUEST_RELEASE' })).status, 404);
});

test('list: filters, pages, projects', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 30 } });
  for (let i = 0; i < 12; i++) {
    await fake.warm();
    const body = { userMetadata: { n: i, half: { is: i % 2 ? 'odd' : 'even' } }, sessionTags: { team: i < 4 ? 'a' : 'b', all: 'x' } };
    assert.equal((await create(stack, i < 10 ? body : { ...body, projectId: 'other' })).status, 201);
  }
  const list = async (query) => {
    const reply = await stack.request('GET', `/v1/sessions${query}`);
    assert.equal(reply.status, 200, reply.text);
    return reply;
  };
  assert.equal((await list('')).body.length, 12);
  assert.equal((await list('?projectId=default')).body.length, 10);
  assert.equal((await list('?projectId=nobody')).body.length, 0);
  assert.equal((await list('?status=RUNNING')).body.length, 12);
  assert.equal((await list('?state=queued')).body.length, 0);
  const q = encodeURIComponent("user_metadata['half']['is']:'odd'");
  assert.equal((await list(`?q=${q}`)).body.length, 6);
  assert.equal((await list(`?q=${encodeURIComponent("user_metadata['n']:'3'")}`)).body.length, 1);
  assert.equal((await list('?tag.team=a&tag.all=x')).body.length, 4);
  assert.equal((await list('?tag.team=a&tag.all=y')).body.length, 0);
  assert.ok((await list('')).body.every((s) => s.connectUrl === undefined));

  const seen = [];
  let path = '/v1/sessions?limit=5&status=RUNNING&tag.all=x';
  while (path) {
    const reply = await stack.request('GET', path);
    assert.ok(reply.body.length <= 5);
    seen.push(...reply.body.map((s) => s.id));
    assert.equal(Boolean(reply.headers.get('x-next-cursor')), Boolean(reply.headers.get('link')));
    path = /<([^>]+)>; rel="next"/.exec(reply.headers.get('link') ?? '')?.[1];
  }
  assert.equal(new Set(seen).size, 12);
  assert.equal(seen.length, 12);

  const [one] = (await list('?projectId=default&limit=1')).body;
  await stack.request('DELETE', `/v1/sessions/${one.id}`);
  await fake.stopped();
  assert.deepEqual((await list('?status=COMPLETED')).body.map((s) => s.id), [one.id]);
  assert.equal((await list('?status=ERROR')).body.length, 0);
  for (const bad of ['limit=0', 'limit=1001', 'limit=x', 'status=x', 'state=x', 'status=RUNNING&state=queued', 'q=x', "q=user_metadata['a':'b'", 'cursor=x', 'cursor=a~9~', 'cursor=default~0~x%20y', 'projectId=a%20b']) {
    const reply = await stack.request('GET', `/v1/sessions?${bad}`);
    assert.equal(reply.status, 400, bad);
    assert.equal(reply.body.error.code, 'bad_query');
  }
});

test('debug: the pages of a running session', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 } });
  fake.pages = [
    { id: 'P1', type: 'page', title: 'A "page"', url: 'http://a/', devtoolsFrontendUrl: 'http://f/1', webSocketDebuggerUrl: 'ws://g/1' },
    { id: 'W1', type: 'worker', title: 'no', url: 'x' },
  ];
  const { secret } = await fake.warm();
  const { body: s } = await create(stack);
  const debug = await stack.request('GET', `/v1/sessions/${s.id}/debug`);
  assert.equal(debug.status, 200);
  assert.equal(debug.body.wsUrl, s.connectUrl);
  assert.ok(debug.body.debuggerUrl.includes(secret));
  assert.deepEqual(debug.body.pages.map((p) => [p.id, p.title, p.url, p.debuggerUrl]), [['P1', 'A "page"', 'http://a/', 'http://f/1']]);
  fake.pages = 'nonsense';
  assert.deepEqual((await stack.request('GET', `/v1/sessions/${s.id}/debug`)).body.pages, []);
  const queued = await create(stack, {}, {}, '?wait=0');
  assert.equal((await stack.request('GET', `/v1/sessions/${queued.body.id}/debug`)).status, 409);
  await stack.request('DELETE', `/v1/sessions/${queued.body.id}`);
  assert.equal((await stack.request('GET', `/v1/sessions/${queued.body.id}/debug`)).status, 410);
});

test('hosts, stats, health, drain, audit, metrics, pages', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  await fake.heartbeat();
  await create(stack);
  const { hosts } = (await stack.request('GET', '/v1/hosts')).body;
  assert.equal(hosts.length, 1);
  assert.deepEqual([hosts[0].id, hosts[0].status, hosts[0].capacity, hosts[0].berths], ['fake', 'healthy', 4, { free: 3, starting: 0, warm: 0, taken: 1, cleaning: 0 }]);
  assert.deepEqual(hosts[0].info, { fake: true });
  const stats = (await stack.request('GET', '/v1/stats')).body;
  assert.deepEqual(stats.sessions, { queued: 0, starting: 0, running: 1, ending: 0 });
  assert.deepEqual(stats.berths, { capacity: 4, free: 3, starting: 0, warm: 0, taken: 1, cleaning: 0 });
  assert.deepEqual(stats.profiles, [{ profile: 'default', queued: 0, warm: 0 }]);
  assert.equal((await stack.request('GET', '/v1/health')).body.status, 'ok');
  const drained = await stack.request('POST', '/v1/hosts/fake/drain');
  assert.deepEqual([drained.status, drained.body.state, drained.body.left], [200, 'draining', 1]);
  assert.equal((await stack.request('GET', '/v1/hosts')).body.hosts[0].status, 'draining');
  assert.equal((await stack.request('POST', '/v1/hosts/fake/undrain')).body.state, 'ready');
  assert.equal((await stack.request('POST', '/v1/hosts/nobody/drain')).status, 404);
  await fake.heartbeat({ pressure: 1 });
  assert.equal((await stack.request('GET', '/v1/hosts')).body.hosts[0].status, 'no-admit');
  const audit = (await stack.request('GET', '/v1/audit')).body;
  assert.equal(audit.found, 0, JSON.stringify(audit));
  assert.ok(audit.checked > 0);
  const metrics = await stack.request('GET', '/metrics');
  assert.match(metrics.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  for (const line of metrics.text.split('\n')) assert.match(line, /^(#.*|[a-z_]+(\{.*\})? [-+.e\d]+(nf)?|)$/i, line);
  for (const wanted of ['berth_sessions{state="running"} 1', 'berth_creates_total{result="created"} 1', 'berth_redis_up 1', 'berth_berths{state="taken"} 1', 'berth_http_requests_total{route="/v1/sessions",method="POST",status="201"} 1']) {
    assert.ok(metrics.text.includes(`${wanted}\n`), wanted);
  }
  const page = await stack.request('GET', '/');
  assert.match(page.headers.get('content-type'), /^text\/html/);
  assert.match(page.text, /Berth/);
  const openapi = (await stack.request('GET', '/openapi.json')).body;
  assert.match(openapi.openapi, /^3\./);
  const table = readFileSync(new URL('../../api/dispatch.c', import.meta.url), 'utf8');
  const routes = [...table.matchAll(/\{HTTP_METHOD_(\w+), "(\/[^"]+)", SCOPE_\w+, (?!NULL)/g)];
  assert.ok(routes.length > 15);
  for (const [, method, path] of routes) {
    assert.ok(openapi.paths[path.replace(':id', '{id}')]?.[method.toLowerCase()], `${method} ${path} is in openapi.json`);
  }
});

test('the Browserbase SDK, unmodified', async (t) => {
  const { stack, fake } = await fleet(t);
  await fake.warm();
  const bb = new Browserbase({ apiKey: 'any', baseURL: stack.url, maxRetries: 0 });
  const s = await bb.sessions.create({ projectId: 'd9f4b3a2-1111-2222-3333-444455556666', api_timeout: 120, userMetadata: { k: 'v' }, keepAlive: true });
  assert.equal(s.status, 'RUNNING');
  assert.equal(s.projectId, 'd9f4b3a2-1111-2222-3333-444455556666');
  assert.ok(s.connectUrl && s.createdAt && s.expiresAt && s.startedAt && s.updatedAt && s.region);
  assert.deepEqual([s.signingKey, s.seleniumRemoteUrl, s.proxyBytes, s.keepAlive], ['', '', 0, true]);
  assert.equal((await bb.sessions.retrieve(s.id)).connectUrl, s.connectUrl);
  assert.equal((await bb.sessions.list({ q: "user_metadata['k']:'v'", status: 'RUNNING' }))[0].id, s.id);
  assert.deepEqual((await bb.sessions.debug(s.id)).pages, []);
  const done = await bb.sessions.update(s.id, { status: 'REQUEST_RELEASE', projectId: s.projectId });
  assert.equal(done.status, 'COMPLETED');
  await assert.rejects(bb.sessions.retrieve(UNKNOWN), { status: 404 });
  const absent = [() => bb.sessions.logs.list(s.id), () => bb.sessions.recording.retrieve(s.id), () => bb.sessions.downloads.list(s.id), () => bb.projects.list()];
  for (const ask of absent) {
    await assert.rejects(ask, (e) => e.status === 501 && e.error.error.code === 'not_implemented' && e.headers['x-should-retry'] === 'false');
  }
});

// ---- keys ----------------------------------------------------------------------------------------------------------------

function keyFile(stack, keys) {
  const path = join(stack.dir, 'keys.json');
  writeFileSync(path, JSON.stringify({ keys: keys.map(({ key, ...rest }) => ({ hash: sha256(key), ...rest })) }));
  return path;
}

test('API keys: places, scopes, projects, limits, reload', async (t) => {
  const { stack, fake } = await fleet(t, { apis: 0, worker: { capacity: 8 } });
  const keys = [
    { key: 'maker', project: 'acme', scopes: ['create'], concurrency: 2 },
    { key: 'reader', project: 'acme', scopes: ['read'] },
    { key: 'stranger', project: 'other', scopes: ['read', 'create'] },
    { key: 'boss', project: 'ops', scopes: ['admin'] },
  ];
  const api = await stack.addApi({ BERTH_API_KEYS: keyFile(stack, keys) });
  const as = (key) => ({ authorization: `Bearer ${key}` });
  await fake.warm();
  for (const path of ['/healthz', '/readyz', '/openapi.json', '/']) assert.equal((await stack.request('GET', path)).status, 200, path);
  for (const [method, path] of [['POST', '/v1/sessions'], ['GET', '/v1/sessions'], ['GET', `/v1/sessions/${UNKNOWN}`], ['DELETE', `/v1/sessions/${UNKNOWN}`],
    ['GET', '/v1/hosts'], ['GET', '/v1/stats'], ['GET', '/metrics'], ['GET', '/v1/audit'], ['POST', '/v1/hosts/fake/drain'], ['GET', `/v1/sessions/${UNKNOWN}/cdp`]]) {
    for (const headers of [{}, as('wrong'), { authorization: 'Basic bWFrZXI=' }, as(sha256('maker'))]) {
      const reply = await stack.request(method, path, undefined, headers);
      assert.equal(reply.status, 401, `${method} ${path}`);
      assert.equal(reply.body.error.code, 'unauthorized');
    }
  }
  const made = await create(stack, { projectId: 'acme' }, as('maker'));
  assert.equal(made.status, 201, made.text);
  assert.equal(made.body.projectId, 'acme');
  const { id } = made.body;
  assert.equal((await create(stack, { projectId: 'other' }, as('maker'))).body.error.code, 'forbidden');
  assert.equal((await create(stack, {}, as('reader'))).status, 403);
  assert.equal((await stack.request('DELETE', `/v1/sessions/${id}`, undefined, as('reader'))).status, 403);
  assert.equal((await stack.request('POST', '/v1/hosts/fake/drain', undefined, as('maker'))).status, 403);

  const get = (headers, query = '') => stack.request('GET', `/v1/sessions/${id}${query}`, undefined, headers);
  for (const headers of [as('maker'), { 'x-bb-api-key': 'maker' }, { 'x-baselayer-api-key': 'maker' }]) {
    assert.equal((await get(headers)).body.connectUrl, made.body.connectUrl);
  }
  assert.equal((await get({}, '?apiKey=maker')).status, 200);
  const read = await get(as('reader'));
  assert.equal(read.status, 200);
  for (const name of ['connectUrl', 'cdpUrl', 'debugHttpUrl']) assert.equal(read.body[name], undefined);
  assert.equal((await get(as('stranger'))).status, 404);
  assert.equal((await stack.request('DELETE', `/v1/sessions/${id}`, undefined, as('stranger'))).status, 404);
  assert.deepEqual((await stack.request('GET', '/v1/sessions', undefined, as('stranger'))).body, []);
  assert.equal((await stack.request('GET', '/v1/sessions?projectId=acme', undefined, as('stranger'))).status, 403);
  assert.equal((await stack.request('GET', '/v1/sessions', undefined, as('boss'))).body.length, 1);
  assert.equal((await get(as('boss'))).status, 200);
  assert.equal((await stack.request('GET', '/v1/stats', undefined, as('stranger'))).body.sessions.running, 0);
  assert.equal((await stack.request('GET', '/v1/stats', undefined, as('boss'))).body.sessions.running, 1);

  assert.equal((await create(stack, {}, as('maker'), '?wait=0')).status, 202);
  const over = await create(stack, {}, as('maker'));
  assert.deepEqual([over.status, over.body.error.code, over.body.error.limit], [429, 'concurrency_limit', 2]);

  // A bad file keeps the keys; a good one replaces them.
  writeFileSync(join(stack.dir, 'keys.json'), '{"keys":[{"hash":"x"}]}');
  api.signal('SIGHUP');
  await api.logged(/keys_kept/);
  assert.equal((await get(as('maker'))).status, 200);
  keyFile(stack, [{ key: 'fresh', project: 'acme', scopes: ['read'] }]);
  api.signal('SIGHUP');
  await api.logged(/keys_read/);
  assert.equal((await get(as('maker'))).status, 401);
  assert.equal((await get(as('fresh'))).status, 200);
  for (const line of api.log) assert.ok(!/maker|stranger|boss/.test(line), line);
});

test('start-up refuses what it cannot do', async (t) => {
  const { stack } = await fleet(t, { apis: 0, worker: false });
  const run = (env, args = []) => spawnSync(join(BUILD, 'berth-api'), args, { env: { PATH: process.env.PATH, BERTH_REDIS_URL: stack.redisServer.url, ...env }, encoding: 'utf8', input: 'secret\n', timeout: 90000 });
  for (const [env, what] of [
    [{ BERTH_LISTEN: '0.0.0.0:0' }, /without API keys/], [{ BERTH_LISTEN: '[::]:0' }, /without API keys/], [{ BERTH_LISTEN: 'nonsense' }, /./],
    [{ BERTH_CELL: 'No!' }, /BERTH_CELL/], [{ BERTH_API_KEYS: '/nonexistent' }, /nonexistent/], [{ BERTH_REDIS_URL: 'http://x' }, /./], [{ BERTH_CONNECT: 'tunnel' }, /BERTH_CONNECT/],
  ]) {
    const result = run(env);
    assert.equal(result.status, 1, JSON.stringify(env));
    assert.match(result.stderr, what);
  }
  assert.equal(run({}, ['--hash-key']).stdout.trim(), sha256('secret'));
  assert.match(run({}, ['--help']).stdout, /BERTH_LISTEN/);
  assert.match(run({}, ['--version']).stdout, /^berth-api \d/);
  assert.equal(run({}, ['--nope']).status, 2);
});

// ---- Redis, drain, replicas ----------------------------------------------------------------------------------------------

test('a lost Redis is 503 at once, and all is well when it is back', async (t) => {
  const { stack } = await fleet(t, { worker: false });
  await stack.redisServer.kill();
  await waitFor(async () => (await stack.request('GET', '/readyz')).status === 503);
  for (const [method, path] of [['POST', '/v1/sessions'], ['GET', '/v1/sessions'], ['GET', `/v1/sessions/${UNKNOWN}`], ['GET', '/v1/stats'], ['GET', '/v1/health']]) {
    const reply = await stack.request(method, path);
    assert.equal(reply.status, 503, path);
    assert.equal(reply.body.error.code, 'redis_unavailable');
    assert.equal(reply.headers.get('retry-after'), '1');
  }
  assert.equal((await stack.request('GET', '/healthz')).status, 200);
  assert.match((await stack.request('GET', '/metrics')).text, /berth_redis_up 0/);
  await stack.redisServer.start();
  await stack.apis[0].ready();
  assert.equal((await create(stack)).body.error.code, 'no_worker');
});

test('a create that waits outlives a short outage of Redis, and is answered in a long one', async (t) => {
  const stack = await startStack(t, { workers: [], redis: { aof: true } });
  const fake = await FakeWorker.start(t, stack, { capacity: 1 });
  const pending = create(stack);
  const job = await fake.job('start');
  await stack.redisServer.kill();
  await stack.redisServer.start();
  await fake.ready(job);
  const reply = await pending;
  assert.equal(reply.status, 201, reply.text);
  const waiting = create(stack);
  await waitFor(async () => (await stack.sessions('queued')).length === 1);
  const [id] = await stack.sessions('queued');
  await stack.redisServer.kill();
  const lost = await waiting;
  assert.deepEqual([lost.status, lost.body.error.code], [503, 'redis_unavailable']);
  await stack.redisServer.start();
  // Its session is cancelled as soon as Redis can be told.
  await waitFor(async () => (await stack.session(id)).reason === 'cancelled');
});

test('SIGTERM: serves what waits as long as it may, then answers the rest, and exits 0', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_API_DRAIN: '6s' } });
  const served = create(stack);
  const job = await fake.job('start');
  const left = create(stack);
  await waitFor(async () => (await stack.sessions('queued')).length === 1);
  const [id] = await stack.sessions('queued');
  const poll = stack.request('GET', `/v1/sessions/${id}?wait=60`);
  await waitFor(async () => /berth_long_polls 1/.test((await stack.request('GET', '/metrics')).text));
  const api = stack.apis[0];
  api.signal('SIGTERM');
  assert.equal((await poll).body.state, 'queued');
  await fake.ready(job);
  assert.equal((await served).status, 201);
  const last = await left;
  assert.deepEqual([last.status, last.body.error.code], [503, 'shutting_down']);
  assert.equal(last.headers.get('connection'), 'close');
  await api.program.ended;
  assert.equal(api.program.exited.code, 0);
  assert.equal((await stack.session(id)).reason, 'cancelled');
});

test('SIGTERM answers creates in line when its time is over, and leaves no session of theirs', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 1 }, env: { BERTH_API_DRAIN: '500ms' } });
  await fake.warm();
  const held = (await create(stack)).body; // so the rest can only queue
  const [api] = stack.apis;
  stack.redisServer.signal('SIGSTOP');
  // More than may be with Redis at a time (CREATES_AT_ONCE): some wait for its answer, the others in line.
  const text = 'POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n';
  const clients = Array.from({ length: 24 }, () => net.connect(api.port, '127.0.0.1'));
  await Promise.all(clients.map((socket) => once(socket, 'connect')));
  const answers = clients.map(async (socket) => {
    let got = '';
    socket.setEncoding('latin1');
    socket.on('data', (part) => (got += part));
    socket.on('error', (error) => (got += error.message));
    socket.write(text);
    await once(socket, 'close');
    return got;
  });
  // They came first, so they have been read when others, one after the other, have been answered.
  for (let i = 0; i < 5; i++) await stack.request('GET', '/healthz');
  api.signal('SIGTERM');
  await api.logged(/drain_last_call/);
  stack.redisServer.signal('SIGCONT');
  for (const got of await Promise.all(answers)) {
    assert.equal(statusOf(got), 503, got);
    assert.match(got, /"code":"(shutting_down|redis_unavailable)"/);
  }
  await api.program.ended;
  assert.equal(api.program.exited.code, 0);
  const keys = await stack.redis.keys(stack.key('session:*'));
  assert.ok(keys.length > 1 && keys.length <= 1 + 16, `${keys.length} sessions`);
  for (const key of keys.filter((name) => !name.endsWith(held.id))) {
    await waitFor(async () => (await stack.redis.hget(key, 'reason')) === 'cancelled', { what: `${key} to be cancelled` });
  }
});

test('several processes behind one port; any of them answers for any session', async (t) => {
  const { stack, fake } = await fleet(t, { worker: { capacity: 8 } });
  const second = await stack.addApi({ BERTH_LISTEN: `127.0.0.1:${stack.apis[0].port}` });
  assert.equal(second.port, stack.apis[0].port);
  await waitFor(() => second.program.lines.some((line) => / redis_up connection=api /.test(line)), { what: 'the second API to reach Redis' });
  await fake.warm();
  const { body: s } = await create(stack);
  for (let i = 0; i < 20; i++) {
    const reply = await stack.request('GET', `/v1/sessions/${s.id}`, undefined, { connection: 'close' });
    assert.equal(reply.body.id, s.id);
  }
  await second.term();
  for (let i = 0; i < 20; i++) assert.equal((await stack.request('GET', '/healthz', undefined, { connection: 'close' })).status, 200);
});

// ---- relay ---------------------------------------------------------------------------------------------------------------

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
