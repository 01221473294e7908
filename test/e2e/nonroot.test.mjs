// A worker without root: it falls back to what the machine lets it do, says so loudly, and marks its host so.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, BUILD, waitFor } from './harness.mjs';
import { withPlaywright } from './site.mjs';

const UID = 65500; // nobody's

test('a worker as an ordinary user', { timeout: 300000, skip: process.getuid() !== 0 && 'needs root to become somebody else' }, async (t) => {
  // The repository may lie where that user cannot read.
  const dir = mkdtempSync(join(tmpdir(), 'berth-nonroot-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  chmodSync(dir, 0o755);
  cpSync(join(BUILD, 'berth-worker'), join(dir, 'berth-worker'));
  const home = join(dir, 'home');
  mkdirSync(home);
  chownSync(home, UID, UID);

  const stack = await startStack(t, { workers: [] });
  chmodSync(stack.dir, 0o755);
  chmodSync(stack.redisServer.socket, 0o777);
  const worker = await stack.addWorker({
    prefix: ['setpriv', '--reuid', String(UID), '--regid', String(UID), '--clear-groups'],
    program: join(dir, 'berth-worker'),
    env: {
      BERTH_DRIVER: 'process',
      BERTH_BERTHS: 2,
      BERTH_WARM: 1,
      HOME: home,
      XDG_RUNTIME_DIR: undefined,
    },
  });
  const warning = await worker.logged(/ warn .*isolation_reduced.*isolation=(\S+)/);
  const record = await worker.record();
  assert.notEqual(JSON.parse(record.info).isolation, 'full');
  const hosts = await stack.request('GET', '/v1/hosts');
  assert.equal(hosts.status, 200);
  assert.ok(hosts.text.includes(warning[1].replaceAll('"', '')), hosts.text);

  const { status, body, text } = await stack.request('POST', '/v1/sessions', { keepAlive: true });
  assert.equal(status, 201, text);
  const { title } = await withPlaywright(body.connectUrl, 'data:text/html,<title>ordinary user</title>');
  assert.equal(title, 'ordinary user');
  assert.ok(worker.look().filter((p) => /chrom|headless/.test(p.name)).every((p) => p.uids[0] !== 0), 'no browser runs as root');
  await stack.request('DELETE', `/v1/sessions/${body.id}`);
  await waitFor(async () => (await stack.session(body.id)).state === 'ended', { what: 'the end' });
});
