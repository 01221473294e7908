// What the API says of sessions and of the fleet: records, lists, pages, hosts, statistics, metrics; and to the Browserbase SDK.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Browserbase } from '@browserbasehq/sdk';
import { waitFor } from './harness.mjs';
import { UNKNOWN, fleet, create } from './api_fleet.mjs';

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
