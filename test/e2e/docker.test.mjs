// The docker driver with a real Docker Engine and real browsers: the suite that all drivers pass, and what only containers have.
// The attack suite runs over it too (attack-docker.test.mjs).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, pause, waitFor } from './harness.mjs';
import { processes } from './host.mjs';
import { startEngine } from './engine.mjs';
import { withPlaywright, withPuppeteer } from './site.mjs';
import { driverFile } from './driver_file.mjs';
import { driverSuite } from './driver_suite.mjs';
import { manySessions } from './many_sessions.mjs';

const engine = await startEngine();
const skip = engine.reason;
const limits = { driver: 'docker', memoryMb: 512, pids: 300, cpus: 1.5, shmMb: 64, tmpMb: 96 };
let dir;

const file = driverFile({
  driver: 'docker',
  skip,
  prepare(scope) {
    dir = mkdtempSync(join(tmpdir(), 'berth-docker-test-'));
    scope.after(() => rmSync(dir, { recursive: true, force: true }));
    const small = { ...limits, memoryMb: 400, pids: 150 };
    writeFileSync(join(dir, 'profiles.json'), JSON.stringify({ profiles: [{ ...limits, name: 'default', warm: 1 }, { ...small, name: 'small', warm: 0 }] }));
  },
  env: () => ({ ...engine.env, BERTH_PROFILES: join(dir, 'profiles.json') }),
  traces: () => ({ containers: (id) => engine.containers(id) }),
});

driverSuite(file);

/** A file of a process; '' if the process has ended meanwhile. */
function proc(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

const nameOf = ({ berth }) => `berth-${file.worker.id}-${berth}`;

test('docker: Puppeteer; more sessions than there are warm containers', file.test, async (t) => {
  await file.warm();
  const all = await Promise.all([file.create(t), file.create(t), file.create(t)]);
  assert.equal((await withPuppeteer(all[0].connectUrl, `${file.site.url}/b`)).title, 'Berth test /b');
  for (const session of all.slice(1)) assert.equal((await withPlaywright(session.connectUrl, 'data:text/html,<title>cold</title>')).title, 'cold');
  await Promise.all(all.map((session) => file.release(session)));
  assert.equal(JSON.parse((await file.worker.record()).info).isolation, 'full');
  await file.atRest();
});

test('docker: a container has what it should have and nothing else', file.test, async (t) => {
  const { worker } = file;
  await file.warm();
  const session = await file.create(t);
  const cdp = await file.cdp(session);
  const { Id, State, HostConfig: host, Config: config } = await engine.inspect(nameOf(session));
  assert.equal(config.User, `${worker.slot.uidBase + session.berth}:${worker.slot.uidBase + session.berth}`);
  assert.equal(config.Labels['berth.worker'], worker.id);
  assert.equal(config.Labels['berth.berth'], String(session.berth));
  assert.deepEqual([host.CapDrop, host.CapAdd, host.Privileged, host.ReadonlyRootfs, host.Binds, host.Devices ?? []], [['ALL'], null, false, true, null, []]);
  assert.equal(host.NetworkMode.startsWith('container:'), true);
  assert.equal(host.IpcMode, 'private');
  // What the kernel says, of every process of the container.
  const uid = worker.slot.uidBase + session.berth;
  const inside = [...processes().values()].filter(({ uids, pid }) => uids.includes(uid) && proc(pid, 'cgroup').includes(Id));
  assert.ok(inside.length >= 5, `${inside.length} processes`);
  const namespace = readlinkSync(`/proc/${State.Pid}/ns/net`);
  for (const { pid, name } of inside) {
    const status = proc(pid, 'status');
    if (!status) continue;
    const field = (key) => new RegExp(`^${key}:\\s+(.*)$`, 'm').exec(status)?.[1];
    assert.equal(field('NoNewPrivs'), '1', name);
    assert.equal(field('Seccomp'), '2', name);
    assert.equal(field('Uid').split('\t')[0], String(uid));
  }
  assert.match(/^CapEff:\s+(\w+)$/m.exec(readFileSync(`/proc/${State.Pid}/status`, 'utf8'))[1], /^0+$/);
  assert.notEqual(namespace, readlinkSync('/proc/self/ns/net'));
  const renderer = inside.find(({ pid }) => proc(pid, 'cmdline').includes('--type=renderer'));
  assert.notEqual(readlinkSync(`/proc/${renderer.pid}/ns/user`), readlinkSync(`/proc/${State.Pid}/ns/user`), "Chromium's own sandbox is on");
  const mounts = readFileSync(`/proc/${State.Pid}/mountinfo`, 'utf8').split('\n').filter(Boolean).map((line) => line.split(' '));
  const mount = (where) => mounts.filter((m) => m[4] === where).at(-1)?.join(' ') ?? '';
  assert.match(mount('/'), / ro[, ]/);
  assert.match(mount('/tmp'), /rw,nosuid,nodev,noexec.*size=98304k/);
  assert.match(mount('/dev/shm'), /size=65536k/);
  assert.ok(!mounts.some((m) => m[4].includes('docker.sock')));
  const cgroup = (controller, v1, v2) => {
    const line = readFileSync(`/proc/${State.Pid}/cgroup`, 'utf8').split('\n').map((l) => l.split(':')).find(([, list]) => list.split(',').includes(controller));
    const dir = line ? `/sys/fs/cgroup/${line[1]}${line[2]}` : `/sys/fs/cgroup${/^0::(.*)$/m.exec(readFileSync(`/proc/${State.Pid}/cgroup`, 'utf8'))[1]}`;
    return readFileSync(join(dir, line ? v1 : v2), 'utf8').trim();
  };
  assert.equal(cgroup('memory', 'memory.limit_in_bytes', 'memory.max'), String(512 << 20));
  assert.equal(cgroup('pids', 'pids.max', 'pids.max'), '300');
  assert.match(cgroup('cpu', 'cpu.cfs_quota_us', 'cpu.max'), /^150000/);
  assert.match(cgroup('cpu', 'cpu.shares', 'cpu.weight'), /^(1024|100)$/, 'a session has the whole share');
  cdp.drop();
  await file.release(session);
  await file.atRest();
  assert.equal((await engine.request('GET', `/v1.41/containers/${Id}/json`)).status, 404, 'a clean berth has no container');
});

test('docker: limits hold: memory, processes, /dev/shm', file.test, async (t) => {
  const use = async (attack) => {
    const session = await file.create(t, { runtimeProfile: 'small' });
    const cdp = await file.cdp(session);
    const { targetId } = await cdp.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
    const evaluate = (expression) => cdp.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId).then(({ result }) => result.value);
    const { State } = await engine.inspect(nameOf(session));
    await attack({ session, cdp, evaluate, pid: State.Pid });
    cdp.drop();
    await file.release(session);
  };
  const soon = (promise) => Promise.race([promise.catch(() => 'failed'), pause(20000).then(() => 'no answer')]);
  await use(async ({ evaluate }) => {
    let held = 0;
    for (let i = 1; i <= 12; i++) {
      if ((await soon(evaluate('window.k = [...(window.k ?? []), new Uint8Array(64 << 20).fill(7)], window.k.length'))) !== i) break;
      held = i * 64;
    }
    assert.ok(held > 0 && held < 400, `a page could have ${held} MB of 400`);
  });
  await use(async ({ session, evaluate }) => {
    const uid = file.worker.slot.uidBase + session.berth;
    soon(evaluate(`for (let i = 0; i < 2000; i++) new Worker(URL.createObjectURL(new Blob(['setInterval(() => {}, 1)'])))`));
    const threads = () => {
      let n = 0;
      for (const { pid, uids } of processes().values()) {
        if (uids.includes(uid)) n += Number(/^Threads:\s+(\d+)/m.exec(proc(pid, 'status'))?.[1] ?? 0);
      }
      return n;
    };
    let most = 0;
    await waitFor(() => (most = Math.max(most, threads())) > 60, { timeout: file.budget, what: 'the page to have 60 threads' });
    for (let i = 0; i < 30; i++) {
      most = Math.max(most, threads());
      await pause(20);
    }
    assert.ok(most <= 155, `${most} processes and threads`); // 150, and those of the network's holder
  });
  await use(async ({ pid }) => {
    const file = `/proc/${pid}/root/dev/shm/full`;
    assert.throws(() => writeFileSync(file, Buffer.alloc(65 << 20)), /ENOSPC/);
  });
  await file.atRest();
});

test('docker: a container that somebody removes ends its session', file.test, async (t) => {
  const session = await file.create(t);
  const cdp = await file.cdp(session);
  await engine.request('DELETE', `/v1.41/containers/${nameOf(session)}?force=true`);
  assert.equal((await cdp.closed).code, 4004);
  assert.equal((await file.ended(session)).reason, 'browser_crashed');
  await file.worker.logged(/somebody removed the browser's container|the browser was killed by signal 9/, 60000);
  await file.atRest();
});

test('docker: what is missing is said plainly', file.test, async (t) => {
  const stack = await startStack(t, { apis: 0, workers: [] });
  const said = async (env, pattern) => {
    await assert.rejects(stack.addWorker({ env: { ...engine.env, BERTH_BERTHS: 1, ...env } }));
    const worker = stack.workers.pop();
    assert.ok(worker.log.some((line) => pattern.test(line)), worker.program.tail(3));
    worker.slot.free();
  };
  await said({ BERTH_DOCKER_IMAGE: 'berth-none:1' }, /no image berth-none:1: build it with scripts\/browser-image/);
  await said({ BERTH_DOCKER_SOCKET: '/run/berth-none.sock' }, /no reply from the Docker Engine at \/run\/berth-none\.sock: .*: start dockerd/);
  await said({ BERTH_DOCKER_IMAGE: '../x' }, /BERTH_DOCKER_IMAGE: \.\.\/x is no name of an image/);
});

test('docker: an engine that is restarted: sessions end with the reason, the worker says that it has to begin anew, and does', { ...file.test, skip: skip || (!engine.end && 'the engine that runs here is not ours to restart') }, async (t) => {
  const { worker } = file;
  const session = await file.create(t);
  const cdp = await file.cdp(session);
  await engine.end();
  await cdp.closed;
  assert.equal((await file.ended(session)).reason, 'browser_crashed');
  assert.ok(worker.running, 'the worker waits for the engine');
  await engine.begin();
  const { code } = await worker.program.ended;
  assert.equal(code, 1);
  assert.match(worker.program.tail(200), /driver_lost .*holds a berth's network, is gone/);
  await worker.start();
  await file.warm();
  assert.equal((await withPlaywright((await file.create(t)).connectUrl, 'data:text/html,<title>anew</title>')).title, 'anew');
});

manySessions(file, { sessions: 20 });
