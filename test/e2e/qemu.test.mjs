// The qemu driver for real: QEMU (under TCG, so anywhere), the real image, real guests. A snapshot is built once for the file, in a
// state folder of its own, and its clones serve Playwright; what is killed leaves nothing; a snapshot that does not fit is refused.
// Under TCG everything in a guest is slow: waits are long, and browsers few.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { startStack, fileScope, waitFor, BUILD, ROOT } from './harness.mjs';
import { startSite } from './site.mjs';
import { descendants } from './host.mjs';

const SLOW = 120000;
const START = 400000; // a template and a clone, without KVM and with neighbours
const CLOCK_OFF = 4000; // a guest that gets little CPU sets its clock late
const MEMORY_MB = 512;

function missing() {
  if (process.getuid() !== 0) return 'needs root: guests have networks and users of their own';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun on this machine';
  try {
    execFileSync('qemu-system-x86_64', ['--version']);
  } catch {
    return 'qemu-system-x86_64 is not installed and cannot be here (Debian package qemu-system-x86)';
  }
  return false;
}

const skip = missing();
const image = process.env.BERTH_IMAGE ?? join(BUILD, 'image');
const scope = fileScope();
const API = { BERTH_START_TIMEOUT: '300s' };
let state, profiles, site, stack;

function env(more = {}) {
  return {
    BERTH_DRIVER: 'qemu',
    BERTH_IMAGE: image,
    BERTH_STATE: state,
    BERTH_PROFILES: profiles,
    BERTH_VM_ACCEL: 'tcg',
    BERTH_BERTHS: 3,
    BERTH_WARM: 1,
    BERTH_EGRESS_ALLOW: 'host',
    BERTH_START_PARALLEL: 1,
    ...more,
  };
}

before(async () => {
  if (skip) return;
  if (!existsSync(join(image, 'image.json'))) execFileSync('scripts/image', { cwd: ROOT, env: { ...process.env, BUILD }, stdio: 'inherit' });
  state = mkdtempSync(join(tmpdir(), 'berth-qemu-'));
  scope.after(() => process.env.BERTH_KEEP || rmSync(state, { recursive: true, force: true }));
  profiles = join(state, 'profiles.json');
  writeFileSync(profiles, JSON.stringify({ profiles: [{ name: 'default', warm: 1, memoryMb: MEMORY_MB, cpus: 2 }] }));
  site = await startSite(scope);
  stack = await startStack(scope, { wait: false, env: API, workers: [{ env: env() }] });
  await Promise.all(stack.apis.map((api) => api.ready(SLOW)));
  await stack.workers[0].ready({ warm: 1, timeout: START });
});

/** A session; with t it ends with that test, whatever comes of it. */
async function create(t, on = stack) {
  const { status, body: session, text } = await on.request('POST', '/v1/sessions', { keepAlive: true, idleTimeoutSec: 0 });
  assert.equal(status, 201, text);
  t?.after(() => release(session, on));
  return session;
}

async function release({ id }, on = stack) {
  await on.request('DELETE', `/v1/sessions/${id}`);
  await waitFor(async () => (await on.session(id)).state === 'ended', { what: `the end of ${id}`, timeout: SLOW });
  return on.session(id);
}

/** By how much the guest's clock is off, beyond what the asking took. */
async function clockError(page) {
  const before = Date.now();
  const there = await page.evaluate(() => Date.now());
  return Math.max(before - there, there - Date.now(), 0);
}

async function connect({ connectUrl }) {
  const browser = await chromium.connectOverCDP(connectUrl, { timeout: SLOW });
  const page = browser.contexts()[0].pages()[0] ?? (await browser.contexts()[0].newPage());
  page.setDefaultTimeout(SLOW);
  page.setDefaultNavigationTimeout(SLOW);
  return { browser, page };
}

const warm = (n = 1, on = stack) => on.workers[0].ready({ warm: n, timeout: START });

test('a session in a microVM: page, script, network; what its pages cannot reach', { skip }, async (t) => {
  await warm();
  const session = await create(t);
  const record = await stack.session(session.id);
  assert.equal(record.warm, '1', 'it was restored before the session asked');
  const timings = JSON.parse(record.timings);
  assert.ok(timings.configureMs > 0 && timings.cdpReadyMs > 0, JSON.stringify(timings));
  const { browser, page } = await connect(session);
  await page.goto(`${site.url}/vm`);
  assert.equal(await page.title(), 'Berth test /vm');
  await page.click('button');
  assert.equal(await page.textContent('h1'), 'clicked');
  // What the guest is kept from, although its network has a way out.
  for (const url of ['http://172.31.255.2:9223/json/version', 'http://169.254.169.254/']) {
    const answer = await page.evaluate((u) => fetch(u, { mode: 'no-cors' }).then(() => 'reached', () => 'refused'), url);
    assert.equal(answer, 'refused', url);
  }
  await browser.close();
  assert.equal((await release(session)).reason, 'released');
});

test('two clones of one snapshot share nothing that should be random', { skip }, async (t) => {
  const look = async () => {
    const session = await create(t);
    const { browser, page } = await connect(session);
    const seen = await page.evaluate(() => ({
      crypto: Array.from(crypto.getRandomValues(new Uint8Array(32))).join(),
      math: [Math.random(), Math.random(), Math.random()].join(),
    }));
    seen.error = await clockError(page);
    const other = await browser.contexts()[0].newPage();
    seen.math2 = await other.evaluate(() => [Math.random(), Math.random()].join());
    return { session, browser, seen };
  };
  const a = await look();
  const b = await look();
  for (const name of ['crypto', 'math', 'math2']) assert.notEqual(a.seen[name], b.seen[name], name);
  for (const { seen } of [a, b]) assert.ok(seen.error < CLOCK_OFF, `the clock is off by ${seen.error} ms`);
  for (const { browser } of [a, b]) await browser.close();
});

test('a guest that dies under a session', { skip }, async (t) => {
  const session = await create(t);
  const { browser } = await connect(session);
  const ended = new Promise((resolve) => browser.on('disconnected', resolve));
  const berth = Number((await stack.session(session.id)).berth);
  const uid = stack.workers[0].slot.uidBase + berth;
  const vm = descendants(stack.workers[0].pid).find((p) => p.uids[0] === uid && p.name.startsWith('qemu'));
  assert.ok(vm, 'no QEMU runs as the berth’s user');
  process.kill(vm.pid, 'SIGKILL');
  await ended;
  await waitFor(async () => (await stack.session(session.id)).state === 'ended', { what: 'the end', timeout: SLOW });
  assert.equal((await stack.session(session.id)).reason, 'browser_crashed');
  await warm();
});

test('kill -9 of the worker leaves no process; its next start uses the snapshot that is there', { skip }, async () => {
  const [worker] = stack.workers;
  await warm();
  const before = readdirSync(join(state, 'snapshots')).filter((name) => !name.startsWith('.'));
  assert.equal(before.length, 1);
  await worker.kill();
  assert.deepEqual(await worker.left({ things: false, timeout: SLOW }), []);
  const lines = worker.log.length;
  await worker.start();
  await worker.ready({ warm: 1, timeout: START });
  assert.deepEqual(readdirSync(join(state, 'snapshots')).filter((name) => !name.startsWith('.')), before);
  const log = worker.log.slice(worker.log.length > lines ? lines : 0);
  assert.ok(!log.some((line) => /snapshot_build\b/.test(line)), 'it was built again');
  assert.ok(log.some((line) => /working_set_pages=[1-9]/.test(line)), 'the working set was recorded by the first clone');
});

test('warm clones may be kept paused: the first connection wakes them, with the right time', { skip }, async (t) => {
  const other = await startStack(t, { wait: false, env: API, workers: [{ env: env({ BERTH_VM_WARM: 'paused', BERTH_BERTHS: 1 }) }] });
  await other.apis[0].ready(SLOW);
  await other.workers[0].ready({ warm: 1, timeout: START });
  await new Promise((resolve) => setTimeout(resolve, 2 * CLOCK_OFF)); // what is measured is that time passes for a guest that stands still
  const session = await create(null, other);
  const { browser, page } = await connect(session);
  const error = await clockError(page);
  assert.ok(error < CLOCK_OFF, `the clock is off by ${error} ms`);
  await browser.close();
  await release(session, other);
});

test('a snapshot that does not fit is refused, with the reason, and made anew', { skip }, async () => {
  const [worker] = stack.workers;
  await worker.term();
  const [key] = readdirSync(join(state, 'snapshots')).filter((name) => !name.startsWith('.'));
  const path = join(state, 'snapshots', key, 'snapshot.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/qemu (\d+)\./, 'qemu 1.'));
  await worker.start();
  const [line] = await worker.logged(/snapshot_refused.*/, SLOW);
  assert.match(line, /qemu 1\./);
  await worker.ready({ warm: 1, timeout: START });
  assert.match(readFileSync(path, 'utf8'), /qemu [2-9]/);
});

test('an accelerator that boots nothing is tried once', { skip }, async (t) => {
  const other = await startStack(t, { wait: false, env: API, workers: [{ env: env({ BERTH_VM_ACCEL: 'auto', BERTH_BERTHS: 1 }) }] });
  const [worker] = other.workers;
  await worker.ready({ warm: 1, timeout: START });
  if (!worker.log.some((line) => /accelerator_refused/.test(line))) return t.diagnostic('KVM works here');
  await worker.term();
  await worker.start();
  await worker.logged(/accelerator_skipped accel=kvm/, SLOW);
  await worker.ready({ warm: 1, timeout: START });
  assert.ok(!worker.log.some((line) => /accelerator_refused/.test(line)), 'it was tried again');
});
