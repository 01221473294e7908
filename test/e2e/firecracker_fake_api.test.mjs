// The fake Firecracker itself, held against what is known of the real one: every rule with the words in which it is refused.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { FakeFirecracker, guestFiles, inside, install, missing, namespace, restoreOrder } from './fake_firecracker.mjs';
import { waitFor } from './program.mjs';

const skip = missing();
const MEMORY_MIB = 64;
const TEMPLATE_MAC = '02:be:27:00:00:02';

const NET = { iface_id: 'eth0', host_dev_name: 'tap0', guest_mac: TEMPLATE_MAC };

/** A machine as the driver configures one, started, its guest settled. */
async function template(t, installed, files, netns) {
  const fc = await FakeFirecracker.jailed(t, 'template', installed, { netns, files }).listening();
  await fc.ok('PUT', '/machine-config', { vcpu_count: 2, mem_size_mib: MEMORY_MIB });
  await fc.ok('PUT', '/boot-source', { kernel_image_path: '/kernel', initrd_path: '/initrd', boot_args: 'quiet' });
  await fc.ok('PUT', '/drives/root', { drive_id: 'root', is_root_device: true, is_read_only: true, path_on_host: '/root' });
  await fc.ok('PUT', '/network-interfaces/eth0', NET);
  await fc.ok('PUT', '/vsock', { guest_cid: 3, uds_path: '/v.sock' });
  await fc.ok('PUT', '/actions', { action_type: 'InstanceStart' });
  const guest = await fc.vsock(join(fc.root, 'v.sock'));
  await guest.line(/^booted protocol=1 /);
  await guest.line(/^settled /);
  guest.end();
  await fc.ok('PATCH', '/vm', { state: 'Paused' });
  await fc.ok('PUT', '/snapshot/create', { snapshot_path: '/state', mem_file_path: '/memory' });
  return fc;
}

test('boot, snapshot, clones: the guest is who it is told to be, and is reached through the tap', { skip }, async (t) => {
  const installed = install(t);
  const files = guestFiles(join(installed.dir, 'files'));
  const one = await template(t, installed, files, namespace(t, `fc-${process.pid}-t`));
  assert.equal(statSync(join(one.root, 'memory')).size, MEMORY_MIB << 20);
  const clone = async (id, seed, mac) => {
    const netns = namespace(t, `fc-${process.pid}-${id}`);
    const fc = await FakeFirecracker.jailed(t, id, installed, {
      netns,
      files: { root: files.root, state: join(one.root, 'state'), memory: join(one.root, 'memory') },
    }).listening();
    assert.equal((await fc.ok('GET', '/')).state, 'Not started');
    await fc.ok('PUT', '/snapshot/load', { snapshot_path: '/state', mem_backend: { backend_type: 'File', backend_path: '/memory' }, resume_vm: true });
    assert.equal((await fc.ok('GET', '/')).state, 'Running');
    const guest = await fc.vsock(join(fc.root, 'v.sock'));
    assert.throws(() => inside(netns, 'curl', '-sSf', '-m', '20', 'http://172.31.255.2:9223/json/version'), /refused|connect/i);
    guest.send(restoreOrder(mac, seed));
    await guest.line(/^ready .*total_ms=/);
    const version = JSON.parse(inside(netns, 'curl', '-sSf', '-m', '60', 'http://172.31.255.2:9223/json/version'));
    assert.match(version.webSocketDebuggerUrl, /^ws:\/\/172\.31\.255\.2:9223\/devtools\/browser\/[0-9a-f-]{36}$/);
    assert.match(inside(netns, 'ip', 'neigh', 'show', '172.31.255.2'), new RegExp(mac));
    return version.webSocketDebuggerUrl;
  };
  const urls = [await clone('a', 'a', '02:00:00:00:00:0a'), await clone('b', 'b', '02:00:00:00:00:0b')];
  assert.equal(urls[0], urls[1], 'both have the browser of the snapshot');
});
