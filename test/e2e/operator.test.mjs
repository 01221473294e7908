// scripts/berth on a Redis that holds a known fleet: every command shows what is there, changes what it should, and refuses
// what is wrong; hostile values reach no terminal.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, ROOT, BUILD } from './harness.mjs';

const session = (letter) => `c0-${letter.repeat(24)}`;

/** Two workers, five berths, seven sessions of two projects, one of them running. */
async function fleet(stack) {
  await stack.script('register', 'w1', 100000, 3, 'default,other', 'ws://127.0.0.1:1', 'sim', '{"isolation":"full"}', 'spread');
  await stack.script('register', 'w2', 100000, 2, 'default', 'ws://127.0.0.1:2', 'sim', '{}', 'spread');
  for (const [i, letter] of [...'abcdefg'].entries()) {
    const project = i % 2 ? 'alpha' : 'beta';
    const meta = '{"user":"\u001b[31mred\u0007"}';
    const args = [session(letter), project, 'default', 60000, 30000, 0, 30000, 30000, 'spread', 0, 100, 100, meta, '', ''];
    assert.equal((await stack.script('admit', ...args))[0], 'ok');
  }
  const a = await stack.session(session('a'));
  assert.equal((await stack.script('ready', a.worker, a.epoch, a.berth, a.turn, a.id, `${a.berth}-${'0'.repeat(32)}`, '{}'))[0], 'ok');
}

function tool(stack, env = {}) {
  const environment = { ...process.env, BERTH_LUA: join(BUILD, 'scripts_library.lua'), BERTH_REDIS_URL: stack.redisServer.url, ...env };
  return (...args) =>
    new Promise((resolve) => {
      execFile(join(ROOT, 'scripts/berth'), args, { env: environment }, (error, stdout, stderr) => {
        resolve({ status: error ? error.code : 0, out: stdout, err: stderr, rows: stdout.trim().split('\n') });
      });
    });
}

test('the operator sees sessions, workers, queue, projects and events', async (t) => {
  const stack = await startStack(t, { apis: 0, workers: [] });
  await fleet(stack);
  const berth = tool(stack);

  const sessions = await berth('sessions');
  assert.equal(sessions.status, 0, sessions.err);
  assert.equal(sessions.rows.length, 8);
  assert.match(sessions.out, new RegExp(`^${session('a')} +beta +running +- +w[12] +\\d +default`, 'm'));
  assert.equal((await berth('sessions', '--state', 'queued')).rows.length, 3);
  assert.equal((await berth('sessions', '--project', 'alpha')).rows.length, 4);
  assert.equal((await berth('sessions', '--limit', '2')).rows.length, 3);

  const one = await berth('session', session('a'));
  assert.match(one.out, /^state +running$/m);
  assert.match(one.out, /^secret +\d-0000…$/m, 'the secret is not shown');
  assert.match(one.out, /starting -> running/);
  assert.ok(![...one.out].some((c) => c < ' ' && c !== '\n'), 'no control character is printed');
  assert.equal((await berth('session', session('z'))).status, 1);

  const workers = await berth('workers');
  assert.match(workers.out, /^w1 +ready +3 .* sim +full /m);
  assert.match(workers.out, /^w2 +ready +2 /m);
  const worker = await berth('worker', 'w1');
  assert.match(worker.out, /^ +0 +(taken|starting) +1 +default +c0-/m);
  assert.match(worker.out, /^\d+-0 +start +0 +1 +c0-/m);

  const queue = await berth('queue');
  assert.match(queue.out, new RegExp(`^default +1  ${session('f')} +alpha`, 'm'));
  assert.match(queue.out, new RegExp(`^default +2  ${session('g')} +beta`, 'm'));
  const projects = await berth('projects');
  assert.match(projects.out, /^alpha +1 +2 +0 +0 +default +default$/m);
  assert.match(projects.out, /^beta +1 +2 +1 +0 +default +default$/m);
  assert.equal((await berth('events', '--count', '3')).rows.length, 4);
  const top = await berth('top');
  assert.equal(top.status, 0, top.err);
  for (const part of ['workers 2', 'waiting 2', 'WORKER', 'PROJECT', 'SESSION', 'CHANGE']) assert.ok(top.out.includes(part), part);
});

test('the operator drains, releases, limits and audits', async (t) => {
  const stack = await startStack(t, { apis: 0, workers: [] });
  await fleet(stack);
  const berth = tool(stack);

  assert.match((await berth('drain', 'w2')).out, /^w2 is draining; berths still in use: 2$/m);
  assert.equal(await stack.redis.hget(stack.key('worker:w2'), 'state'), 'draining');
  assert.match((await berth('undrain', 'w2')).out, /^w2 is ready/m);
  const nobody = await berth('drain', 'nobody');
  assert.deepEqual([nobody.status, nobody.err], [1, 'berth: unknown_worker\n']);

  assert.match((await berth('release', session('a'))).out, /is ending$/m);
  assert.equal((await stack.session(session('a'))).reason, 'released');
  assert.match((await berth('release', session('g'))).out, /is ended$/m);

  assert.match((await berth('limits', 'alpha', 'concurrency=3')).out, /^concurrency +3$/m);
  assert.doesNotMatch((await berth('limits', 'alpha', 'concurrency=-')).out, /^concurrency/m);

  const clean = await berth('audit');
  assert.equal(clean.status, 0, clean.out);
  assert.match(clean.out, /, 0 findings$/m);
  await stack.redis.hincrby(stack.key('project:alpha'), 'running', 1);
  const broken = await berth('audit');
  assert.equal(broken.status, 1);
  assert.match(broken.out, /alpha/);
  await stack.redis.hincrby(stack.key('project:alpha'), 'running', -1);
});

test('the operator is told what is wrong', async (t) => {
  const stack = await startStack(t, { apis: 0, workers: [] });
  const berth = tool(stack);
  assert.equal((await berth()).status, 2);
  assert.match((await berth('--help')).out, /^usage: berth COMMAND/);
  for (const args of [['frobnicate'], ['session', '../x'], ['drain', 'a b'], ['limits', 'p', 'queue=x'], ['sessions', '--limit', '0']]) {
    const { status, err } = await berth(...args);
    assert.equal(status, 2, args.join(' '));
    assert.match(err, /^berth: /);
  }
  const away = await tool(stack, { BERTH_REDIS_URL: 'redis://:hunter2@127.0.0.1:1/0' })('workers');
  assert.notEqual(away.status, 0);
  assert.match(away.err, /Redis \(redis:\/\/…@127\.0\.0\.1:1\/0\): /);
  assert.ok(!away.err.includes('hunter2'));
});

test('the operator changes things through the API, with a key made by the tool', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'berth-operator-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const made = await tool({ redisServer: { url: '' } })('key', 'default', 'admin', 'night');
  const key = /shown this once: (\S+)/.exec(made.err)[1];
  assert.ok(!made.out.includes(key), 'the file has only its digest');
  writeFileSync(join(dir, 'keys.json'), made.out);
  const stack = await startStack(t, { env: { BERTH_API_KEYS: join(dir, 'keys.json') }, workers: [{}] });
  const [worker] = stack.workers;
  const api = tool(stack, { BERTH_API: stack.url, BERTH_API_KEY: key });

  const { status, body } = await stack.request('POST', '/v1/sessions', {}, { authorization: `Bearer ${key}` });
  assert.equal(status, 201);
  assert.match((await api('release', body.id)).out, new RegExp(`^${body.id} is (ending|ended)$`, 'm'));
  const drained = await api('drain', worker.id);
  assert.equal(drained.status, 0, drained.err);
  assert.equal(await stack.redis.hget(stack.key(`worker:${worker.id}`), 'state'), 'draining');
  assert.equal((await api('undrain', worker.id)).status, 0);
  const audit = await api('audit');
  assert.equal(audit.status, 0, audit.out + audit.err);

  const unknown = await api('drain', 'nobody');
  assert.equal(unknown.status, 1);
  assert.match(unknown.err, /^berth: \w+: /);
  const wrong = await tool(stack, { BERTH_API: stack.url, BERTH_API_KEY: 'berth_wrong' })('audit');
  assert.equal(wrong.status, 1);
  assert.match(wrong.err, /^berth: unauthorized: /);
});
