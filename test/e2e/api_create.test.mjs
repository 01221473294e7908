// Creating a session: what a request may say and what comes back of it; what is refused, however it is wrong. A private Redis and a
// played worker.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { waitFor } from './harness.mjs';
import { ID, fleet, create, raw, statusOf } from './api_fleet.mjs';

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
