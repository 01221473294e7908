// The firecracker driver over the fake Firecracker and jailer: everything between the API and the monitor's socket is real, only
// the machine is not. What a browser's insides show is firecracker.test.mjs's, which needs the real one.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, waitFor } from './harness.mjs';
import { driverFile } from './driver_file.mjs';
import { guestFiles, install, missing } from './fake_firecracker.mjs';
import { descendants, processes } from './host.mjs';
import { manySessions } from './many_sessions.mjs';

const MEMORY_MB = 128;
const CLOCK_OFF = 30000;

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

const snapshots = () => readdirSync(join(dir, 'state', 'snapshots')).filter((name) => !name.startsWith('.'));

/** A bare client on a session: who the guest says it is. */
async function look(session) {
  const cdp = await file.cdp(session);
  assert.ok((await cdp.send('Browser.getVersion')).product);
  return { cdp, guest: await cdp.send('Fake.guest') };
}

test('warm clones of one snapshot: each is somebody of its own, with the right time; released, nothing stays', file.test, async (t) => {
  await file.warm();
  const sessions = [await file.create(t)];
  assert.equal((await file.stack.session(sessions[0].id)).warm, '1', 'it was restored before the session asked');
  await file.warm();
  sessions.push(await file.create(t));
  const seen = [await look(sessions[0]), await look(sessions[1])];
  for (const what of ['hostname', 'machineId', 'mac', 'random', 'vm']) assert.notEqual(seen[0].guest[what], seen[1].guest[what], what);
  for (const { guest } of seen) assert.ok(Math.abs(guest.clockMs - Date.now()) < CLOCK_OFF, `the clock is off by ${guest.clockMs - Date.now()} ms`);
  assert.equal(snapshots().length, 1);
  for (const session of sessions) assert.equal((await file.release(session)).reason, 'released');
  for (const { cdp } of seen) await cdp.closed;
  await file.atRest();
});

test('a monitor that is killed: the session ends with the reason, its place is clean, the next one works', file.test, async (t) => {
  await file.warm();
  const session = await file.create(t);
  const { cdp } = await look(session);
  const victim = file.browserOf(session);
  process.kill(victim.pid, 'SIGKILL');
  assert.equal((await cdp.closed).code, 4004);
  assert.equal((await file.ended(session)).reason, 'browser_crashed');
  await file.atRest();
  assert.notEqual(processes().get(victim.pid)?.start, victim.start);
  const next = await file.create(t);
  await look(next);
  await file.release(next);
  await file.atRest();
});

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

test('kill -9 of the worker: no monitor, jail or namespace is left by its next start, which uses the snapshot that is there', file.test, async (t) => {
  const { worker } = file;
  await file.warm();
  const session = await file.create(t);
  await look(session);
  const before = snapshots();
  assert.ok(descendants(worker.pid).some(({ name }) => name.startsWith('firecracker')));
  await worker.kill();
  assert.deepEqual(await worker.left({ things: false, timeout: file.budget }), []);
  await worker.start();
  assert.equal((await file.ended(session)).reason, 'worker_lost');
  await file.warm();
  assert.deepEqual(snapshots(), before);
  assert.ok(!worker.log.some((line) => /snapshot_build\b/.test(line)), 'it was built again');
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
