// The harness itself: whatever a worker could leave behind is found, and a stack that is not clean fails its test.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { startStack, waitFor } from './harness.mjs';
import { descendants, leftProcesses, processes, takeSlot } from './host.mjs';
import { leftThings } from './inventory.mjs';

const root = process.getuid() === 0 ? false : 'needs root';

test('a process is found by its user, by its descent, and as a zombie', { skip: root }, async (t) => {
  const slot = takeSlot();
  t.after(() => slot.free());
  const user = String(slot.uidBase + 3);
  // The shell starts a child that ends at once, then becomes a program that reaps nobody.
  const child = spawn('setpriv', ['--reuid', user, '--regid', user, '--clear-groups', 'sh', '-c', 'true & exec sleep 100'], { stdio: 'ignore' });
  const over = new Promise((resolve) => child.once('exit', resolve));
  await waitFor(() => leftProcesses(slot).some((text) => text.includes('state Z')), { what: 'the zombie' });
  assert.equal(leftProcesses(slot).length, 2);
  const seen = descendants(process.pid).filter((p) => p.pid === child.pid);
  assert.equal(seen.length, 1);
  assert.equal(leftProcesses({ ...slot, uidBase: 1 << 30 }, seen).length, 1);
  child.kill('SIGKILL');
  await over;
  await waitFor(() => leftProcesses(slot, seen).length === 0, { what: 'both to be gone' });
  assert.ok(!processes().has(child.pid));
});

test('an interface, a namespace and an nft rule are found', { skip: root }, async (t) => {
  const slot = takeSlot();
  const name = `left-${process.pid}`;
  const address = slot.net.replace('.0/20', '.5');
  const ip = (...args) => execFileSync('ip', args, { stdio: 'pipe' });
  const nft = (text) => execFileSync('nft', ['-f', '-'], { input: text, stdio: 'pipe' });
  t.after(() => slot.free());
  const other = `other${process.pid}`;
  const found = async () => (await leftThings(slot, name)).join('\n');
  assert.equal(await found(), '');

  ip('netns', 'add', name);
  try {
    assert.match(await found(), new RegExp(`network namespace ${name}`));
  } finally {
    ip('netns', 'del', name);
  }
  ip('netns', 'add', other);
  try {
    ip('-n', other, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
    ip('-n', other, 'addr', 'add', `${address}/30`, 'dev', 'v0');
    assert.match(await found(), new RegExp(`interface v0 ${address} in network namespace ${other}`));
  } finally {
    ip('netns', 'del', other);
  }
  nft(`table ip t${process.pid} {\n chain c {\n ip saddr ${address} drop\n }\n}\n`);
  try {
    assert.match(await found(), /nft: .*drop/);
  } finally {
    nft(`delete table ip t${process.pid}\n`);
  }
});

test('a broken invariant and a worker that does not end fail the test', async () => {
  const cleanups = [];
  const scope = { after: (fn) => cleanups.push(fn), passed: true };
  const stack = await startStack(scope, { apis: 0, workers: [{}] });
  stack.printLogs = () => {};
  await stack.redis.hset(stack.key('project:nobody'), 'running', 5);
  await stack.redis.sadd(stack.key('projects'), 'nobody');
  await assert.rejects(cleanups[0](), /audit: .*nobody/);
});
