// The fake Firecracker itself, held against what is known of the real one: every rule with the words in which it is refused.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { FAKE, FakeFirecracker, guestFiles, inside, install, missing, namespace, restoreOrder } from './fake_firecracker.mjs';
import { Program } from './program.mjs';

const skip = missing();
const MEMORY_MIB = 64;
const TEMPLATE_MAC = '02:be:27:00:00:02';

const NET = { iface_id: 'eth0', host_dev_name: 'tap0', guest_mac: TEMPLATE_MAC };

const VERSION_URL = 'http://172.31.255.2:9223/json/version';

/** What is answered to a request from within a network namespace, or the error's code. */
const fetchInside = (netns, url) =>
  inside(netns, process.execPath, '-e', 'fetch(process.argv[1]).then((r) => r.text()).catch((e) => e.cause.code).then((text) => process.stdout.write(text))', url);

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
    assert.equal(fetchInside(netns, VERSION_URL), 'ECONNREFUSED');
    guest.send(restoreOrder(mac, seed));
    await guest.line(/^ready .*total_ms=/);
    // As a worker says it: the guest has another hardware address from now on, and nobody has to ask for it.
    inside(netns, 'ip', 'neigh', 'replace', '172.31.255.2', 'lladdr', mac, 'dev', 'tap0', 'nud', 'permanent');
    const version = JSON.parse(fetchInside(netns, VERSION_URL));
    assert.match(version.webSocketDebuggerUrl, /^ws:\/\/172\.31\.255\.2:9223\/devtools\/browser\/[0-9a-f-]{36}$/);
    return version.webSocketDebuggerUrl;
  };
  const urls = [await clone('a', 'a', '02:00:00:00:00:0a'), await clone('b', 'b', '02:00:00:00:00:0b')];
  assert.equal(urls[0], urls[1], 'both have the browser of the snapshot');
});

/** The worker's page server as a program of its own, in front of a memory file. */
async function pageHandler(t, dir, socket, memory, uid) {
  const program = new Program('page-handler', [join(FAKE, 'page-handler'), socket, memory, `${uid}`], { env: {}, logFile: join(dir, 'page-handler.log') });
  t.after(() => program.kill());
  await program.line(/^listening/, 60000);
  return program;
}

test('memory from a page-fault handler: the guest finds its pages; without the handler it stands still, and the API answers', { skip }, async (t) => {
  const installed = install(t);
  const files = guestFiles(join(installed.dir, 'files'));
  const one = await template(t, installed, files, namespace(t, `fc-${process.pid}-u`));
  const clone = async (id, netns) => {
    const fc = await FakeFirecracker.jailed(t, id, installed, { netns, files: { root: files.root, state: join(one.root, 'state') } }).listening();
    const handler = await pageHandler(t, installed.dir, join(fc.root, 'pages.sock'), join(one.root, 'memory'), 61234);
    const load = await fc.request('PUT', '/snapshot/load', { snapshot_path: '/state', mem_backend: { backend_type: 'Uffd', backend_path: '/pages.sock' } });
    return { fc, handler, load };
  };
  const a = await clone('ua', namespace(t, `fc-${process.pid}-ua`));
  if (a.load.status === 400 && /Failed to UFFD object/.test(a.load.body.fault_message)) return t.skip(a.load.body.fault_message);
  assert.equal(a.load.status, 204, JSON.stringify(a.load.body));
  await a.fc.ok('PATCH', '/vm', { state: 'Resumed' });
  const guest = await a.fc.vsock(join(a.fc.root, 'v.sock'));
  guest.send(restoreOrder('02:00:00:00:00:0a'));
  await guest.line(/^ready /);
  await a.handler.end(60000);
  const faults = Number(/connected=1 faults=(\d+)/.exec(a.handler.tail())?.[1]);
  assert.ok(faults >= (MEMORY_MIB << 20) / (256 << 10), `every page that the guest looked at was asked for: ${a.handler.tail()}`);
  const b = await clone('ub', namespace(t, `fc-${process.pid}-ub`));
  await b.handler.kill();
  await b.fc.ok('PATCH', '/vm', { state: 'Resumed' });
  const stuck = await b.fc.vsock(join(b.fc.root, 'v.sock'));
  stuck.send(restoreOrder('02:00:00:00:00:0b'));
  for (let i = 0; i < 20; i++) assert.equal((await b.fc.ok('GET', '/')).state, 'Running');
  assert.equal(stuck.lines().length, 0, 'a guest without its pages says nothing');
});

const BEFORE = 'The requested operation is not supported before starting the microVM.';
const AFTER = 'The requested operation is not supported after starting the microVM.';
const json = (text) => `An error occurred when deserializing the json body of a request: ${text}.`;

/** Sends each [method, path, body (an object, or text as it is), fault]; without a fault it must be done. */
async function each(fc, calls) {
  for (const [method, path, body, fault] of calls) {
    const answer = typeof body === 'string' ? await fc.request(method, path, undefined, { raw: body }) : await fc.request(method, path, body);
    const what = `${method} ${path} ${typeof body === 'string' ? body : JSON.stringify(body)}`;
    if (fault === undefined) assert.ok(answer.status === 204 || answer.status === 200, `${what}: ${answer.status} ${JSON.stringify(answer.body)}`);
    else assert.deepEqual([answer.status, answer.body], [400, { fault_message: fault }], what);
  }
}

test('requests, in every order that matters: what is refused, and how it is said', { skip }, async (t) => {
  const installed = install(t);
  const dir = installed.dir;
  const files = guestFiles(dir);
  const fc = await FakeFirecracker.alone(t, 'rules', installed).listening();
  assert.deepEqual(await fc.ok('GET', '/'), { id: 'rules', state: 'Not started', vmm_version: '1.16.1', app_name: 'Firecracker' });
  assert.deepEqual(await fc.ok('GET', '/version'), { firecracker_version: '1.16.1' });
  const machine = '`vcpu_count`, `mem_size_mib`, `smt`, `cpu_template`, `track_dirty_pages`, `huge_pages`';
  const vcpus = 'Machine config error: The number of vCPUs must be greater than 0, less than 32 and must be 1 or an even number if SMT is enabled.';
  const memory = 'Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured page size.';
  const root = { drive_id: 'root', is_root_device: true, is_read_only: true, path_on_host: files.root };
  const uds = join(dir, 'v.sock');
  await each(fc, [
    // paths, methods, bodies
    ['GET', '/nothing', undefined, 'Invalid request method and/or path: GET nothing.'],
    ['GET', '/machine-config', {}, 'GET request cannot have a body.'],
    ['PUT', '/boot-source', undefined, 'Empty PUT request.'],
    ['PATCH', '/vm', undefined, 'Empty PATCH request.'],
    ['PUT', '/snapshot', {}, 'Missing snapshot operation type.'],
    ['PUT', '/snapshot/keep', {}, 'Invalid request method and/or path: PUT /snapshot/keep.'],
    ['PUT', '/mmds/keep', {}, 'Unrecognized PUT request path `keep`.'],
    // fields and types
    ['PUT', '/machine-config', '{"vcpu_count":1}', json('missing field `mem_size_mib` at line 1 column 16')],
    ['PUT', '/machine-config', '{"vcpus":1}', json(`unknown field \`vcpus\`, expected one of ${machine} at line 1 column 8`)],
    ['PUT', '/machine-config', '{"vcpu_count":"1","mem_size_mib":1}', json('invalid type: string "1", expected u8 at line 1 column 17')],
    ['PUT', '/machine-config', '{"vcpu_count":300,"mem_size_mib":1}', json('invalid value: integer `300`, expected u8 at line 1 column 17')],
    ['PUT', '/machine-config', '{"vcpu_count":1.5,"mem_size_mib":1}', json('invalid type: floating point `1.5`, expected u8 at line 1 column 17')],
    ['PUT', '/machine-config', '{"vcpu_count":1,"vcpu_count":1}', json('duplicate field `vcpu_count` at line 1 column 28')],
    ['PUT', '/machine-config', '{"vcpu_count":1,"mem_size_mib":1,"smt":null}', json('invalid type: null, expected a boolean at line 1 column 43')],
    ['PUT', '/machine-config', '{"vcpu_count":1,"mem_size_mib":1,"huge_pages":"1G"}', json('unknown variant `1G`, expected `None` or `2M` at line 1 column 50')],
    ['PUT', '/machine-config', '"machine"', json('invalid type: string "machine", expected struct MachineConfig at line 1 column 9')],
    ['PUT', '/machine-config', '{"vcpu_count":1,', json('EOF while parsing a value at line 1 column 16')],
    ['PUT', '/machine-config', 'nonsense', json('expected ident at line 1 column 2')],
    ['PUT', '/machine-config', '{"vcpu_count":1,"mem_size_mib":1} x', json('trailing characters at line 1 column 35')],
    ['PUT', '/actions', '{"action_type":"Start"}', json('unknown variant `Start`, expected one of `FlushMetrics`, `InstanceStart`, `SendCtrlAltDel` at line 1 column 22')],
    ['PUT', '/network-interfaces/e', '{"iface_id":"e","host_dev_name":"t","guest_mac":"02:be"}', json('The provided MAC address is invalid. at line 1 column 55')],
    ['PUT', '/drives/d', '{"drive_id":"d","is_root_device":false,"rate_limiter":{"bandwidth":{"size":1}}}', json('missing field `refill_time` at line 1 column 77')],
    // machine
    ['PUT', '/machine-config', { vcpu_count: 0, mem_size_mib: 128 }, vcpus],
    ['PUT', '/machine-config', { vcpu_count: 33, mem_size_mib: 128 }, vcpus],
    ['PUT', '/machine-config', { vcpu_count: 3, mem_size_mib: 128, smt: true }, vcpus],
    ['PUT', '/machine-config', { vcpu_count: 1, mem_size_mib: 0 }, memory],
    ['PUT', '/machine-config', { vcpu_count: 1, mem_size_mib: 129, huge_pages: '2M' }, memory],
    ['PATCH', '/machine-config', {}, 'Empty PATCH request.'],
    ['PUT', '/machine-config', { vcpu_count: 2, mem_size_mib: 64 }],
    ['PATCH', '/machine-config', { track_dirty_pages: true }],
    // boot source, drives, vsock
    ['PUT', '/boot-source', { kernel_image_path: '/none' }, 'Boot source error: The kernel file cannot be opened: No such file or directory (os error 2)'],
    ['PUT', '/boot-source', { kernel_image_path: files.kernel, initrd_path: '/none' },
      'Boot source error: The initrd file cannot be opened due to invalid path or invalid permissions. No such file or directory (os error 2)'],
    ['PUT', '/drives/a-b', root, 'API Resource IDs can only contain alphanumeric characters and underscores.'],
    ['PUT', '/drives', root, 'The ID cannot be empty.'],
    ['PUT', '/drives/other', root, 'The id from the path does not match the id from the body!'],
    ['PUT', '/drives/root', { ...root, path_on_host: '/none' },
      'Drive config error: Unable to create the virtio block device: Virtio backend error: Error manipulating the backing file: No such file or directory (os error 2) /none'],
    ['PUT', '/drives/root', root],
    ['PUT', '/drives/root', root],
    ['PUT', '/drives/second', { ...root, drive_id: 'second' }, 'Drive config error: A root block device already exists!'],
    ['PUT', '/network-interfaces/eth1', NET, 'The id from the path [eth1] does not match the id from the body [eth0]!'],
    ['PUT', '/vsock', { guest_cid: 3, uds_path: uds }],
    ['PUT', '/vsock', { guest_cid: 3, uds_path: uds }],
    ['PUT', '/entropy', {}],
    // before the start
    ['PATCH', '/vm', { state: 'Paused' }, BEFORE],
    ['PUT', '/snapshot/create', { snapshot_path: '/s', mem_file_path: '/m' }, BEFORE],
    ['PATCH', '/drives/root', { drive_id: 'root', path_on_host: files.root }, BEFORE],
    ['PUT', '/actions', { action_type: 'SendCtrlAltDel' }, BEFORE],
    ['PUT', '/actions', { action_type: 'InstanceStart' }, 'Start microvm error: Cannot start microvm without kernel configuration.'],
    ['PUT', '/snapshot/load', { snapshot_path: '/s' }, json('missing field: either `mem_backend` or `mem_file_path` is required')],
    ['PUT', '/snapshot/load', { snapshot_path: '/s', mem_backend: { backend_type: 'File', backend_path: '/m' } },
      'Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources.'],
    ['PUT', '/boot-source', { kernel_image_path: files.kernel }],
    ['PUT', '/actions', { action_type: 'InstanceStart' }],
    // after it
    ['PUT', '/actions', { action_type: 'InstanceStart' }, AFTER],
    ['PUT', '/boot-source', { kernel_image_path: files.kernel }, AFTER],
    ['PUT', '/machine-config', { vcpu_count: 1, mem_size_mib: 64 }, AFTER],
    ['PUT', '/vsock', { guest_cid: 3, uds_path: uds }, AFTER],
    ['PUT', '/snapshot/load', { snapshot_path: '/s', mem_file_path: '/m' }, AFTER],
    ['PUT', '/snapshot/create', { snapshot_path: join(dir, 's'), mem_file_path: join(dir, 'm') },
      'Create snapshot error: Cannot save the microVM state: Operation not allowed: save/restore unavailable while running'],
    ['PATCH', '/vm', { state: 'Stopped' }, json('unknown variant `Stopped`, expected `Paused` or `Resumed` at line 1 column 18')],
    ['PATCH', '/vm', { state: 'Paused' }],
    ['PUT', '/snapshot/create', { snapshot_path: '/none/s', mem_file_path: join(dir, 'm') },
      'Create snapshot error: Cannot perform open on the snapshot backing file: No such file or directory (os error 2)'],
    ['PUT', '/snapshot/create', { snapshot_path: join(dir, 's'), mem_file_path: join(dir, 'm') }],
  ]);
  assert.equal((await fc.ok('GET', '/')).state, 'Paused');
  assert.equal(statSync(join(dir, 'm')).size, 64 << 20);
  assert.equal(fc.program.running, true);
});

test('an older version does not know the newer fields', { skip }, async (t) => {
  const installed = install(t);
  installed.faults('version 1.15.0');
  const fc = await FakeFirecracker.alone(t, 'older', installed).listening();
  assert.deepEqual(await fc.ok('GET', '/version'), { firecracker_version: '1.15.0' });
  const { status, body } = await fc.request('PUT', '/snapshot/load', undefined, { raw: '{"clock_realtime":true}' });
  assert.equal(status, 400);
  assert.match(body.fault_message, /unknown field `clock_realtime`, expected one of `snapshot_path`, .*`network_overrides` at line 1 column 17\.$/);
});

test('HTTP: bodies of 51,200 bytes and ten connections are the most; what is no request is answered', { skip }, async (t) => {
  const fc = await FakeFirecracker.alone(t, 'limits', install(t)).listening();
  const large = await fc.request('PUT', '/mmds', undefined, { raw: `"${'x'.repeat(51199)}"` });
  assert.equal(large.status, 400);
  assert.match(large.body, /Request payload with size 51201 is larger than the limit of 51200 allowed by server\.\nAll previous/);
  await each(fc, [['PUT', '/mmds', `"${'x'.repeat(51198)}"`]]);
  /** What is answered to text, until a blank line and the body are there or the connection is closed. */
  const answer = (text, whole) =>
    new Promise((resolve, reject) => {
      const socket = net.connect(fc.socket, () => text && socket.write(text));
      let got = '';
      socket.setEncoding('utf8');
      socket.on('error', reject);
      socket.on('close', () => reject(new Error(`closed after ${got}`)));
      socket.on('data', (part) => {
        got += part;
        if (whole.test(got)) resolve(socket.destroy() && got);
      });
    });
  assert.match(await answer('HELLO\r\n\r\n', /dropped/), /^HTTP\/1\.1 400 \r\n[\s\S]*\r\n\r\n\{ "error": "Invalid request\./);
  assert.match(await answer('POST / HTTP/1.1\r\n\r\n', /dropped/), /Invalid HTTP Method: Unsupported HTTP method\./);
  const agents = Array.from({ length: 10 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
  t.after(() => agents.forEach((agent) => agent.destroy()));
  for (const agent of agents) assert.equal((await fc.request('GET', '/', undefined, { agent })).status, 200);
  assert.match(await answer('', /connections" \}$/), /^HTTP\/1\.1 503\r\n/);
});

test('a snapshot that is not whole is refused in the words of the real one, and the process ends', { skip }, async (t) => {
  const installed = install(t);
  const { dir } = installed;
  const files = guestFiles(dir);
  const state = join(dir, 'state');
  const memory = join(dir, 'memory');
  const fc = await FakeFirecracker.alone(t, 'source', installed).listening();
  await each(fc, [
    ['PUT', '/machine-config', { vcpu_count: 1, mem_size_mib: 32 }],
    ['PUT', '/boot-source', { kernel_image_path: files.kernel }],
    ['PUT', '/drives/root', { drive_id: 'root', is_root_device: true, is_read_only: true, path_on_host: files.root }],
    ['PUT', '/actions', { action_type: 'InstanceStart' }],
    ['PATCH', '/vm', { state: 'Paused' }],
    ['PUT', '/snapshot/create', { snapshot_path: state, mem_file_path: memory }],
  ]);
  let n = 0;
  const load = async (words, { change, body = {}, ends = true } = {}) => {
    const paths = { state: join(dir, `state${++n}`), memory: join(dir, `memory${n}`) };
    copyFileSync(state, paths.state);
    copyFileSync(memory, paths.memory);
    change?.(paths);
    const one = await FakeFirecracker.alone(t, `load${n}`, installed).listening();
    const answer = await one.request('PUT', '/snapshot/load', {
      snapshot_path: paths.state,
      mem_backend: { backend_type: 'File', backend_path: paths.memory },
      ...body,
    });
    if (words === undefined) {
      assert.equal(answer.status, 204, JSON.stringify(answer.body));
      assert.equal((await one.ok('GET', '/')).state, 'Paused');
      await one.program.kill();
      return;
    }
    assert.deepEqual([answer.status, answer.body], [400, { fault_message: words }]);
    if (ends) assert.equal((await one.program.ended).code, 1);
  };
  const patched = (at, bytes) => (paths) => {
    const data = readFileSync(paths.state);
    Buffer.from(bytes).copy(data, at);
    writeFileSync(paths.state, data);
  };
  const fromFile = 'Load snapshot error: Failed to restore from snapshot: Failed to get snapshot state from file: ';
  const fromState = `${fromFile}Failed to load snapshot state from file: `;
  const build = 'Load snapshot error: Failed to restore from snapshot: Failed to build microVM from snapshot: Failed to restore devices: Error restoring MMIO devices: ';
  const guestMemory = 'Load snapshot error: Failed to restore from snapshot: Failed to load guest memory: ';
  await load(undefined);
  await load(`${fromState}CRC64 validation failed`, { change: patched(60, 'X') });
  await load(`${fromState}Invalid data version: 9.0.0`, { change: patched(8, '9.0.0\0') });
  await load(`${fromState}Magic value does not match arch: 0`, { change: patched(0, Buffer.alloc(8)) });
  await load(`${fromState}IO Error: File too short to contain CRC`, { change: ({ state: path }) => truncateSync(path, 7) });
  await load(`${fromFile}Failed to open snapshot file: No such file or directory (os error 2)`, { body: { snapshot_path: '/none' } });
  await load(`${fromFile}Unknown Network Device.`, { body: { network_overrides: [{ iface_id: 'eth0', host_dev_name: 'tap0' }] } });
  await load(`${fromFile}Unknown Vsock Device.`, { body: { vsock_override: { uds_path: join(dir, 'w.sock') } } });
  await load(`${guestMemory}Error creating guest memory from file: Failed to restore guest memory: Total sum of memory regions exceeds largest possible file offset`, {
    change: ({ memory: path }) => truncateSync(path, (32 << 20) - 4096),
  });
  await load(`${guestMemory}Error creating guest memory from uffd: Failed to connect to UDS Unix stream: No such file or directory (os error 2)`, {
    body: { mem_backend: { backend_type: 'Uffd', backend_path: join(dir, 'none.sock') } },
  });
  await load(json('too many fields: either `mem_backend` or `mem_file_path` exclusively is required'), { body: { mem_file_path: memory }, ends: false });
  rmSync(files.root);
  await load(`${build}Block: Virtio backend error: Error manipulating the backing file: No such file or directory (os error 2) ${files.root}`);
});

test('the jailer refuses what the real one refuses', { skip }, async (t) => {
  const installed = install(t);
  const { dir, firecracker } = installed;
  const good = { id: 'vm', 'exec-file': firecracker, uid: '61234', gid: '61234', 'chroot-base-dir': join(dir, 'jails') };
  mkdirSync(join(dir, 'jails'));
  const run = async (args, words) => {
    const program = new Program('jailer', [installed.jailer, ...args], { env: {}, logFile: join(dir, 'jailer.log') });
    const { code } = await program.ended;
    assert.equal(code, 1);
    await program.line(words).catch(() => assert.match(program.tail(), words));
  };
  const line = (change) => Object.entries({ ...good, ...change }).flatMap(([name, value]) => (value === null ? [] : [`--${name}`, ...(value === true ? [] : [value])]));
  await run(line({ id: null }), /Failed to parse arguments: Argument 'id' required, but not found\./);
  await run([...line({}), '--mount', 'x'], /Failed to parse arguments: Found argument 'mount' which wasn't expected, or isn't valid in this context\./);
  await run([...line({}), '--id', 'again'], /Failed to parse arguments: The argument 'id' was provided more than once\./);
  await run(['--id'], /Failed to parse arguments: The argument 'id' requires a value, but none was supplied\./);
  await run(line({ id: 'a_b' }), /Invalid instance ID: Invalid char \(_\) at position 1/);
  await run(line({ id: 'a'.repeat(65) }), /Invalid instance ID: Invalid len \(65\); {2}the length must be between 1 and 64/);
  await run(line({ uid: '-1' }), /Invalid uid: -1/);
  await run(line({ 'exec-file': '/none' }), /Failed to canonicalize path \/none: No such file or directory \(os error 2\)/);
  await run(line({ netns: '/none' }), /Failed to open file \/none: No such file or directory \(os error 2\)/);
  await run(line({ 'cgroup-version': '3' }), /3 is an invalid cgroup version specifier/);
  await run(line({ cgroup: 'cpu.max' }), /Invalid format for cgroups: cpu\.max/);
  await run(line({ 'resource-limit': 'memory=1' }), /Invalid resource argument: memory/);
});

test('in its jail it has no privileges; a second start in a used jail fails', { skip }, async (t) => {
  const installed = install(t);
  const fc = await FakeFirecracker.jailed(t, 'jailed', installed, { netns: namespace(t, `fc-${process.pid}-j`) }).listening();
  const status = readFileSync(`/proc/${fc.program.pid}/status`, 'utf8');
  assert.match(status, /^Uid:\t61234\t61234\t61234\t61234$/m);
  assert.match(status, /^CapEff:\t0+$/m);
  assert.equal(readFileSync(join(fc.root, 'firecracker.pid'), 'utf8'), `${fc.program.pid}`);
  await each(fc, [
    ['PUT', '/network-interfaces/eth0', { ...NET, host_dev_name: 'tap7' },
      'Network config error: Could not create the network device: Open tap device failed: Error while creating ifreq structure: Operation not permitted (os error 1). ' +
      'Invalid TUN/TAP Backend provided by tap7. Check our documentation on setting up the network devices.'],
    ['PUT', '/network-interfaces/eth0', NET],
  ]);
  await fc.program.kill();
  const second = FakeFirecracker.jailed(t, 'jailed', installed);
  assert.equal((await second.program.ended).code, 1);
  assert.match(second.program.tail(), /Failed to create \/dev\/net\/tun via mknod inside the jail: File exists \(os error 17\)/);
});
