// The firecracker driver over the fake Firecracker and jailer: everything between the API and the monitor's socket is real, only
// the machine is not. The suites of all drivers and of all microVMs, without what needs a page; and what only a fake does on request:
// whatever can go wrong.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, waitFor } from './harness.mjs';
import { driverFile } from './driver_file.mjs';
import { guestFiles, install, missing } from './fake_firecracker.mjs';
import { driverSuite } from './driver_suite.mjs';
import { manySessions } from './many_sessions.mjs';
import { microvmSuite } from './microvm_suite.mjs';

const MEMORY_MB = 128;

/** An image as scripts/image makes one, of files that only the fake takes for a kernel and a root. */
function image(dir) {
  guestFiles(dir);
  const part = (file, size) => ({ file, size, sha256: '0'.repeat(64) });
  const text = {
    protocol: 1,
    key: 'f'.repeat(64),
    kernel: part('vmlinux', 4100),
    initrd: part('initrd', 4096),
    root: part('root', 65536),
    cmdline: 'console=ttyS0',
    cdpPort: 9223,
    address: '172.31.255.2',
    gateway: '172.31.255.1',
    prefix: 30,
  };
  writeFileSync(join(dir, 'image.json'), JSON.stringify(text));
  return dir;
}

let dir, fake;

const file = driverFile({
  driver: 'firecracker',
  skip: missing(),
  noPages: "the fake's browser answers a few methods of CDP: it shows no page and runs no script",
  start: 180000,
  browser: /^firecracker/,
  prepare(scope) {
    dir = mkdtempSync(join(tmpdir(), 'fakefc-state-'));
    scope.after(() => rmSync(dir, { recursive: true, force: true }));
    fake = install(scope);
    image(join(dir, 'image'));
    for (const [name, warm] of [['warm', 1], ['cold', 0]]) {
      writeFileSync(join(dir, `${name}.json`), JSON.stringify({ profiles: [{ name: 'default', warm, memoryMb: MEMORY_MB, cpus: 1 }] }));
    }
  },
  env: () => ({
    BERTH_FIRECRACKER: fake.firecracker,
    BERTH_JAILER: fake.jailer,
    BERTH_IMAGE: join(dir, 'image'),
    BERTH_STATE: join(dir, 'state'),
    BERTH_PROFILES: join(dir, 'warm.json'),
  }),
  traces: () => ({ folders: [join(dir, 'state', 'jails')] }),
});

/** A bare client on a session: who the guest says it is. */
async function look(session) {
  const cdp = await file.cdp(session);
  return { cdp, guest: await cdp.send('Fake.guest') };
}

/** For microvmSuite: what a clone is, by its own word. */
async function lookAtGuest(_, t) {
  const session = await file.create(t);
  const before = Date.now();
  const { cdp, guest } = await look(session);
  const { clockMs, ...seen } = guest;
  return { session, seen: { guest: seen }, off: Math.max(before - clockMs, clockMs - Date.now(), 0), close: () => cdp.drop() };
}

driverSuite(file);
microvmSuite(file, { state: () => join(dir, 'state'), misfit: (text) => text.replace(/firecracker \d+\./, 'firecracker 0.'), look: lookAtGuest });

test('a browser that crashes in the guest: the guest says so, and the session ends', file.test, async (t) => {
  await file.warm();
  const session = await file.create(t);
  const { cdp } = await look(session);
  await cdp.send('Browser.crash');
  await cdp.closed;
  const record = await file.ended(session);
  assert.equal(record.reason, 'browser_crashed');
  await file.atRest();
});

manySessions(file, { sessions: 24, clients: 3, workers: 2 });

// From here on with stacks of their own: that test has ended the file's workers.

test('whatever goes wrong with a start: the session says start_failed and why, and nothing leaks', file.test, async (t) => {
  const { worker } = file;
  if (worker.running) await worker.term(file.budget);
  const other = await startStack(t, {
    wait: false,
    env: { BERTH_LEASE: '3s' },
    workers: [{ env: file.workerEnv({ BERTH_PROFILES: join(dir, 'cold.json'), BERTH_VM_READY: 0, BERTH_BERTHS: 1 }), traces: file.traces() }],
  });
  await other.apis[0].ready(file.budget);
  const [victim] = other.workers;
  await victim.ready({ warm: 0, timeout: file.budget });
  const good = async () => {
    fake.faults();
    const session = await file.create(null, {}, other);
    const { cdp } = await look(session);
    await file.release(session, other);
    await cdp.closed;
    await file.atRest(victim);
  };
  t.after(() => fake.faults());
  await good();
  const faults = [
    ['jailer die', /jailer gives up/],
    ['spawn die', /it ends, as it was told/],
    ['refuse /snapshot/load', /snapshot\/load: Firecracker \(400\): fake: refused/],
    ['die /snapshot/load', /snapshot\/load: no reply|ended/],
    ['close /snapshot/load', /snapshot\/load: no reply/],
    ['guest fail', /restore-failed.*network/],
    ['guest nonsense', /nonsense|ended/],
  ];
  for (const [fault, words] of faults) {
    fake.faults(fault);
    const { status, body } = await other.request('POST', '/v1/sessions', { keepAlive: true });
    assert.equal(body?.error?.code, 'start_failed', `${fault}: ${status} ${JSON.stringify(body)}`);
    assert.match(body.error.cause, words, fault);
    await file.atRest(victim);
    await good();
  }
});

test('pages served on demand (BERTH_VM_MEMORY=uffd): what the first clone touched comes ahead of demand', file.test, async (t) => {
  if (file.worker.running) await file.worker.term(file.budget);
  const other = await startStack(t, {
    wait: false,
    env: { BERTH_LEASE: '3s' },
    workers: [{ env: file.workerEnv({ BERTH_PROFILES: join(dir, 'cold.json'), BERTH_BERTHS: 2, BERTH_VM_MEMORY: 'uffd', BERTH_LOG_LEVEL: 'debug' }), traces: file.traces() }],
  });
  await other.apis[0].ready(file.budget);
  await other.workers[0].ready({ warm: 0, timeout: file.budget });
  const sessions = [await file.create(null, {}, other), await file.create(null, {}, other)];
  const seen = [await look(sessions[0]), await look(sessions[1])];
  assert.notEqual(seen[0].guest.machineId, seen[1].guest.machineId);
  for (const session of sessions) await file.release(session, other);
  await waitFor(
    () => other.workers[0].log.filter((line) => /pages_served .*connected=1 .*prefetched=[1-9]/.test(line)).length >= 1,
    { what: 'a clone that was served its pages', timeout: file.budget },
  );
  await file.atRest(other.workers[0]);
});
