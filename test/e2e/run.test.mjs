// `make run` as a person uses it: it prints a session that works when pasted, says what is wrong, and leaves nothing behind.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { ROOT, BUILD, waitFor } from './harness.mjs';
import { Program } from './program.mjs';
import { takeSlot, descendants, leftProcesses } from './host.mjs';
import { leftThings } from './inventory.mjs';

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** make run in a process group of its own, as a terminal starts it. */
async function makeRun(t, settings = {}, dir = mkdtempSync(join(tmpdir(), 'berth-run-test-'))) {
  const slot = takeSlot();
  const api = settings.BERTH_LISTEN ?? `127.0.0.1:${await freePort()}`;
  const gatewayPort = await freePort();
  const env = { ...process.env, XDG_RUNTIME_DIR: dir, BUILD };
  for (const name of Object.keys(env)) if (name.startsWith('BERTH_') || name.startsWith('NODE_')) delete env[name];
  // Some settings by the environment, some on make's command line: both have to reach the programs.
  Object.assign(env, { BERTH_UID_BASE: String(slot.uidBase), BERTH_NET: slot.net, BERTH_GATEWAY_LISTEN: `127.0.0.1:${gatewayPort}` });
  const words = Object.entries({ BERTH_LISTEN: api, ...settings }).map(([name, value]) => `${name}=${value}`);
  const program = new Program('make-run', ['make', '-C', ROOT, '--no-print-directory', 'run', `BUILD=${BUILD}`, ...words], {
    env,
    logFile: join(dir, 'make-run.log'),
    detached: true,
  });
  let seen = [];
  const run = {
    program,
    dir,
    url: `http://${api}`,
    api,
    id: `run-${gatewayPort}`,
    look: () => (seen = descendants(program.pid)),
    /** The terminal's Ctrl-C: to everybody in the group. */
    interrupt() {
      run.look();
      process.kill(-program.pid, 'SIGINT');
      return program.ended;
    },
    /** Processes and things of it that are on the host now, and its folder. */
    async things() {
      const folders = readdirSync(dir).filter((name) => name.startsWith('berth-run'));
      return [...leftProcesses(slot, seen), ...(await leftThings(slot, run.id)), ...folders];
    },
    /** What of them does not go. */
    async left() {
      let left = [];
      await waitFor(async () => (left = await run.things()).length === 0, { timeout: 60000, every: 50 }).catch(() => {});
      return left;
    },
  };
  t.after(async () => {
    if (program.running) {
      process.kill(-program.pid, 'SIGTERM');
      await program.end(30000);
    }
    if (t.passed === false) console.error(program.tail(200));
    slot.free();
    rmSync(dir, { recursive: true, force: true });
  });
  return run;
}

const ready = (run) => run.program.line(/^Ctrl-C ends everything/, 180000);

test('make run, simulated browsers: it is ready, answers, and Ctrl-C leaves nothing', { timeout: 300000 }, async (t) => {
  const run = await makeRun(t, { BERTH_DRIVER: 'sim', BERTH_BERTHS: 5 });
  await ready(run);
  for (const step of [/starting Redis/, /API listens on/, /worker registered/, /2 of 2 browsers are warm/, /Berth is ready after/]) {
    assert.ok(run.program.lines.some((line) => step.test(line)), String(step));
  }
  const response = await fetch(`${run.url}/v1/sessions`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } });
  assert.equal(response.status, 201);
  const stats = await (await fetch(`${run.url}/v1/hosts`)).text();
  assert.ok(stats.includes(run.id), 'BERTH_BERTHS and the rest reached the worker');
  await run.interrupt();
  assert.ok(run.program.lines.some((line) => /nothing left behind. Bye/.test(line)), run.program.tail(20));
  assert.deepEqual(await run.left(), []);
  await assert.rejects(fetch(`${run.url}/healthz`));
});

test('make run, real browsers: what it prints works when pasted', { timeout: 300000 }, async (t) => {
  const run = await makeRun(t);
  await ready(run);
  const { lines } = run.program;
  const from = lines.findIndex((line) => line.startsWith('# curl'));
  const to = lines.findIndex((line) => line.startsWith('# Browserbase'));
  assert.ok(from >= 0 && to > from);
  const pasted = lines.slice(from, to).join('\n');
  const { error, stdout, stderr } = await new Promise((resolve) => {
    const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
    execFile('bash', ['-c', pasted], { cwd: join(ROOT, 'test'), env, timeout: 180000 }, (error, stdout, stderr) => {
      resolve({ error, stdout, stderr });
    });
  });
  assert.ok(!error, `${error}\n${stdout}\n${stderr}`);
  assert.match(stdout, /"Browser":\s*"[^"]*Chrom/);
  assert.match(stdout, /^Playwright: Hello from Berth$/m);
  assert.match(stdout, /^Puppeteer: Hello from Berth$/m);
  assert.match(stdout, /^released \(HTTP 20\d\)$/m);

  // Ctrl-C while a session runs ends it too.
  await fetch(`${run.url}/v1/sessions`, { method: 'POST', body: '{"keepAlive":true}', headers: { 'content-type': 'application/json' } });
  await run.interrupt();
  assert.ok(lines.some((line) => /nothing left behind. Bye/.test(line)), run.program.tail(20));
  assert.deepEqual(await run.left(), []);
});

test('make run ended by SIGTERM leaves nothing', { timeout: 300000 }, async (t) => {
  const run = await makeRun(t, { BERTH_DRIVER: 'sim' });
  await ready(run);
  run.look();
  await run.program.end();
  assert.deepEqual(await run.left(), []);
});

test('make run killed with SIGKILL: its programs end with it, the next run removes its folder', { timeout: 300000 }, async (t) => {
  const run = await makeRun(t, { BERTH_DRIVER: 'sim' });
  await ready(run);
  const script = run.look().find((p) => p.name === 'run');
  process.kill(script.pid, 'SIGKILL');
  await run.program.ended;
  await waitFor(async () => (await run.things()).every((text) => text.startsWith('berth-run')), { what: 'all but its folder to be gone' });
  const next = await makeRun(t, { BERTH_DRIVER: 'sim' }, run.dir);
  await ready(next);
  assert.equal(readdirSync(run.dir).filter((name) => name.startsWith('berth-run')).length, 1);
  await next.interrupt();
  assert.deepEqual([...(await run.left()), ...(await next.left())], []);
});

test('make run says that a port is taken, and by whom', { timeout: 300000 }, async (t) => {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const run = await makeRun(t, { BERTH_DRIVER: 'sim', BERTH_LISTEN: `127.0.0.1:${server.address().port}` });
  const { code } = await run.program.ended;
  assert.notEqual(code, 0);
  const line = run.program.lines.find((l) => l.includes('is taken'));
  assert.match(line, new RegExp(`port ${server.address().port} is taken.*make run BERTH_LISTEN=`));
  assert.deepEqual(await run.left(), []);
});

test('make run ends with a reason when one of its programs dies', { timeout: 300000 }, async (t) => {
  const run = await makeRun(t, { BERTH_DRIVER: 'sim' });
  await ready(run);
  const worker = run.look().find((p) => p.name === 'berth-worker');
  process.kill(worker.pid, 'SIGKILL');
  const { code } = await run.program.ended;
  assert.notEqual(code, 0);
  assert.ok(run.program.lines.some((line) => /the worker has ended by itself/.test(line)), run.program.tail(20));
  assert.deepEqual(await run.left(), []);
});

test('make run says what is wrong with a setting', { timeout: 300000 }, async (t) => {
  const run = await makeRun(t, { BERTH_DRIVER: 'sim', BERTH_BERTHS: 'many' });
  const { code } = await run.program.ended;
  assert.notEqual(code, 0);
  assert.ok(run.program.lines.some((line) => line.includes('BERTH_BERTHS') && line.includes('many')), run.program.tail(20));
  assert.deepEqual(await run.left(), []);
});
