// The docker driver with a real Docker Engine and real browsers: sessions, crashes, limits, a worker that is killed, and that
// nothing is left on the engine. The attack suite runs over it too (attack-docker.test.mjs).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startStack, waitFor, pause } from './harness.mjs';
import { processes } from './host.mjs';
import { startEngine } from './engine.mjs';
import { Cdp } from './cdp.mjs';
import { startSite, withPlaywright, withPuppeteer } from './site.mjs';

const engine = await startEngine();
const skip = engine.reason;
const limits = { driver: 'docker', memoryMb: 512, pids: 300, cpus: 1.5, shmMb: 64, tmpMb: 96 };

async function create(stack, body = {}) {
  const { status, body: session, text } = await stack.request('POST', '/v1/sessions', { keepAlive: true, ...body });
  assert.equal(status, 201, text);
  return { ...session, berth: Number((await stack.session(session.id)).berth) };
}

const release = (stack, { id }) => stack.request('DELETE', `/v1/sessions/${id}`);

const ended = (stack, { id }) =>
  waitFor(
    async () => {
      const session = await stack.session(id);
      return session.state === 'ended' && session;
    },
    { what: `the end of ${id}` },
  );

const atRest = (stack, i = 0) =>
  waitFor(
    async () => {
      const { taken, cleaning, starting } = await stack.workers[i].record();
      return Number(taken) + Number(cleaning) + Number(starting) === 0;
    },
    { timeout: 30000, what: 'every berth to be clean' },
  );

/** Checks after a stack's end that the engine has no container of its workers. */
function leavesNone(t, stack) {
  t.after(async () => {
    for (const { id } of stack.workers) {
      const left = await engine.containers(id);
      assert.deepEqual(left.map(({ Names, State }) => `${Names} ${State}`), [], `containers of ${id}`);
    }
  });
}

/** A file of a process; '' if the process has ended meanwhile. */
function proc(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

async function start(t, env = {}, options = {}) {
  // What t.after registers runs in order: the stack ends first.
  const stack = await startStack(t, { workers: [{ env: { ...engine.env, BERTH_BERTHS: 3, BERTH_WARM: 1, ...env } }], ...options });
  leavesNone(t, stack);
  return stack;
}

const nameOf = (stack, session, i = 0) => `berth-${stack.workers[i].id}-${session.berth}`;

test('Playwright and Puppeteer drive a browser in a container; a warm one is claimed at once', { skip, timeout: 120000 }, async (t) => {
  const site = await startSite(t);
  const stack = await start(t, { BERTH_EGRESS_ALLOW: 'host', BERTH_WARM: 2 });
  const begun = performance.now();
  const session = await create(stack);
  const took = performance.now() - begun;
  const fields = await stack.session(session.id);
  assert.equal(fields.warm, '1');
  t.diagnostic(`claim of a warm container: ${took.toFixed(1)} ms; its start: ${fields.timings}`);
  assert.ok(took < 300, `${took} ms`);
  assert.equal((await withPlaywright(session.connectUrl, `${site.url}/a`)).title, 'Berth test /a');
  assert.equal((await withPuppeteer(session.connectUrl, `${site.url}/b`)).title, 'Berth test /b');
  assert.ok(site.hits.length >= 2);
  const record = await stack.workers[0].record();
  assert.equal(record.driver, 'docker');
  assert.equal(JSON.parse(record.info).isolation, 'full');
  await release(stack, session);
  assert.equal((await ended(stack, session)).reason, 'released');
  // Cold: more sessions than warm browsers.
  const all = await Promise.all([create(stack), create(stack), create(stack)]);
  for (const one of all) {
    assert.equal((await withPlaywright(one.connectUrl, 'data:text/html,<title>cold</title>')).title, 'cold');
    await release(stack, one);
  }
  await atRest(stack);
});

test('a container has what it should have and nothing else', { skip, timeout: 120000 }, async (t) => {
  const profiles = `/tmp/berth-docker-profiles-${process.pid}.json`;
  t.after(() => rmSync(profiles, { force: true }));
  writeFileSync(profiles, JSON.stringify({ profiles: [{ ...limits, name: 'default', warm: 1 }] }));
  const stack = await start(t, { BERTH_PROFILES: profiles, BERTH_BERTHS: 2 });
  const worker = stack.workers[0];
  const session = await create(stack);
  const cdp = await Cdp.open(session.connectUrl);
  const { Id, State, HostConfig: host, Config: config } = await engine.inspect(nameOf(stack, session));
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
  await release(stack, session);
  await atRest(stack);
  assert.equal((await engine.request('GET', `/v1.41/containers/${Id}/json`)).status, 404, 'a clean berth has no container');
});

test('limits hold: memory, processes, /dev/shm', { skip, timeout: 120000 }, async (t) => {
  const profiles = `/tmp/berth-docker-limits-${process.pid}.json`;
  t.after(() => rmSync(profiles, { force: true }));
  writeFileSync(profiles, JSON.stringify({ profiles: [{ ...limits, memoryMb: 400, pids: 150, name: 'default', warm: 1 }] }));
  const stack = await start(t, { BERTH_PROFILES: profiles, BERTH_BERTHS: 2 });
  const use = async (attack) => {
    const session = await create(stack);
    const cdp = await Cdp.open(session.connectUrl);
    const { targetId } = await cdp.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
    const evaluate = (expression) => cdp.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId).then(({ result }) => result.value);
    const { State } = await engine.inspect(nameOf(stack, session));
    await attack({ session, cdp, evaluate, pid: State.Pid });
    cdp.drop();
    await release(stack, session);
    await ended(stack, session);
  };
  const soon = (promise) => Promise.race([promise.catch(() => 'failed'), pause(5000).then(() => 'no answer')]);
  await use(async ({ evaluate }) => {
    let held = 0;
    for (let i = 1; i <= 12; i++) {
      if ((await soon(evaluate('window.k = [...(window.k ?? []), new Uint8Array(64 << 20).fill(7)], window.k.length'))) !== i) break;
      held = i * 64;
    }
    assert.ok(held > 0 && held < 400, `a page could have ${held} MB of 400`);
  });
  await use(async ({ session, evaluate }) => {
    const uid = stack.workers[0].slot.uidBase + session.berth;
    soon(evaluate(`for (let i = 0; i < 2000; i++) new Worker(URL.createObjectURL(new Blob(['setInterval(() => {}, 1)'])))`));
    let most = 0;
    for (let i = 0; i < 30; i++) {
      let threads = 0;
      for (const { pid, uids } of processes().values()) {
        if (uids.includes(uid)) threads += Number(/^Threads:\s+(\d+)/m.exec(proc(pid, 'status'))?.[1] ?? 0);
      }
      most = Math.max(most, threads);
      await pause(20);
    }
    assert.ok(most > 60 && most <= 155, `${most} processes and threads`); // 150, and those of the network's holder
  });
  await use(async ({ pid }) => {
    const file = `/proc/${pid}/root/dev/shm/full`;
    assert.throws(() => writeFileSync(file, Buffer.alloc(65 << 20)), /ENOSPC/);
  });
  await atRest(stack);
});

test('a browser that dies ends its session at once, with the reason, and the berth serves again', { skip, timeout: 120000 }, async (t) => {
  const stack = await start(t, { BERTH_BERTHS: 1 });
  for (const how of ['the browser is killed', 'the container is removed']) {
    const session = await create(stack);
    const cdp = await Cdp.open(session.connectUrl);
    const { State } = await engine.inspect(nameOf(stack, session));
    const begun = performance.now();
    if (how === 'the browser is killed') {
      const uid = stack.workers[0].slot.uidBase + session.berth;
      const main = [...processes().values()].find(({ pid, uids }) => {
        const line = uids.includes(uid) ? proc(pid, 'cmdline') : '';
        return line.startsWith('/usr/lib/chromium') && !line.includes('--type=');
      });
      process.kill(main.pid, 'SIGKILL');
    } else {
      await engine.request('DELETE', `/v1.41/containers/${nameOf(stack, session)}?force=true`);
    }
    assert.equal((await cdp.closed).code, 4004, how);
    t.diagnostic(`${how}: the client knew after ${(performance.now() - begun).toFixed(0)} ms`);
    assert.ok(performance.now() - begun < 2000);
    assert.equal((await ended(stack, session)).reason, 'browser_crashed');
    assert.ok(State.Running);
  }
  await stack.workers[0].logged(/the browser was killed by signal 9/);
  const next = await create(stack);
  assert.equal((await withPlaywright(next.connectUrl, 'data:text/html,<title>again</title>')).title, 'again');
  await release(stack, next);
  await atRest(stack);
});

test('24 sessions while workers are killed: their containers end with them, and none is left', { skip, timeout: 240000 }, async (t) => {
  const env = { BERTH_LEASE: '2s', BERTH_BERTHS: 2 };
  const stack = await start(t, env);
  const worker = stack.workers[0];
  const done = { released: 0, lost: 0 };
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 5; i++) {
      const session = await create(stack);
      assert.equal((await withPlaywright(session.connectUrl, `data:text/html,<title>${round} ${i}</title>`)).title, `${round} ${i}`);
      await release(stack, session);
      assert.equal((await ended(stack, session)).reason, 'released');
      done.released++;
    }
    const session = await create(stack);
    const cdp = await Cdp.open(session.connectUrl);
    const begun = performance.now();
    await worker.kill();
    assert.deepEqual(await worker.left({ things: false }), [], 'processes of a worker that was killed');
    t.diagnostic(`kill -9: nothing of its containers ran any more after ${(performance.now() - begun).toFixed(0)} ms`);
    await cdp.closed;
    await waitFor(async () => (await engine.containers(worker.id)).every(({ State }) => State !== 'running'), { what: 'the engine to know' });
    await worker.start();
    await worker.ready();
    assert.equal((await ended(stack, session)).reason, 'worker_lost');
    done.lost++;
    const running = await engine.containers(worker.id);
    assert.ok(running.every(({ State }) => State === 'running' || State === 'created'), 'what was left has been removed');
  }
  assert.deepEqual(done, { released: 20, lost: 4 });
});

test('what is missing is said plainly', { skip, timeout: 120000 }, async (t) => {
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
