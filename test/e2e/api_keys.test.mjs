// Who may ask: API keys, their scopes and projects, names and pages without keys; and what start-up refuses.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { BUILD } from './harness.mjs';
import { UNKNOWN, sha256, fleet, create, raw, statusOf, keyFile } from './api_fleet.mjs';

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
