// The fake Firecracker of test/support/firecracker, alone or in its jail: started, spoken to over its API's socket, its guest's
// control port and CDP port; and what tests need around it: namespaces with a tap, files that pass for kernel and root.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUILD } from './harness.mjs';
import { Program, waitFor } from './program.mjs';

export const FAKE = join(BUILD, 'test/fake');
const LIMIT = 60000;

/** Why it cannot run here; false: it can. */
export function missing() {
  if (process.getuid() !== 0) return 'needs root: jails and network namespaces';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun on this machine';
  if (!existsSync(join(FAKE, 'firecracker'))) return 'the fake Firecracker is not built (make fake-firecracker)';
  return false;
}

/** A folder with copies of both programs and a faults file of its own, so that no other test is disturbed. */
export function install(t) {
  const dir = mkdtempSync(join(tmpdir(), 'fakefc-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const name of ['firecracker', 'jailer']) copyFileSync(join(FAKE, name), join(dir, name));
  const faults = (...lines) => writeFileSync(join(dir, 'faults'), lines.map((line) => `${line}\n`).join(''));
  faults();
  return { dir, firecracker: join(dir, 'firecracker'), jailer: join(dir, 'jailer'), faults };
}

/** A network namespace as a worker makes one: tap0 is the guest's gateway. */
export function namespace(t, name) {
  const ip = (...args) => execFileSync('ip', args);
  ip('netns', 'add', name);
  t.after(() => ip('netns', 'del', name));
  ip('-n', name, 'link', 'set', 'lo', 'up');
  ip('-n', name, 'tuntap', 'add', 'tap0', 'mode', 'tap', 'vnet_hdr');
  ip('-n', name, 'addr', 'add', '172.31.255.1/30', 'dev', 'tap0');
  ip('-n', name, 'link', 'set', 'tap0', 'up');
  return `/run/netns/${name}`;
}

/** What passes for a guest's files; the kernel is an ELF file by its first bytes. */
export function guestFiles(dir) {
  mkdirSync(dir, { recursive: true });
  const files = { kernel: join(dir, 'vmlinux'), initrd: join(dir, 'initrd'), root: join(dir, 'root') };
  writeFileSync(files.kernel, Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(4096)]));
  writeFileSync(files.initrd, Buffer.alloc(4096, 1));
  writeFileSync(files.root, Buffer.alloc(65536, 2));
  return files;
}

export class FakeFirecracker {
  /** command: what runs it; socket: its API's, as this process sees it. */
  constructor(t, name, command, socket, { root, env = {} } = {}) {
    this.socket = socket;
    this.root = root;
    this.program = new Program(name, command, { env: { PATH: process.env.PATH, ...env }, logFile: join(tmpdir(), `${name}-${process.pid}.log`) });
    t.after(async () => {
      if (t.passed === false) console.error(this.program.tail(50));
      await this.program.kill();
      rmSync(join(tmpdir(), `${name}-${process.pid}.log`), { force: true });
    });
  }

  /** Alone, in a network namespace of its own. */
  static alone(t, name, installed, more = []) {
    const socket = join(installed.dir, `${name}.sock`);
    const env = { FAKE_FIRECRACKER_FAULTS: join(installed.dir, 'faults') };
    return new FakeFirecracker(t, name, ['unshare', '-n', installed.firecracker, '--api-sock', socket, '--id', name, ...more], socket, { env });
  }

  /** In its jail; files: name in the jail → path outside, copied there for the jail's user. */
  static jailed(t, id, installed, { uid = 61234, netns, files = {}, more = [], args = [] } = {}) {
    const base = join(installed.dir, 'jails');
    const root = join(base, 'firecracker', id, 'root');
    mkdirSync(root, { recursive: true });
    for (const [name, path] of Object.entries(files)) {
      copyFileSync(path, join(root, name));
      chownSync(join(root, name), uid, uid);
      chmodSync(join(root, name), 0o600);
    }
    const command = [installed.jailer, '--id', id, '--exec-file', installed.firecracker, '--uid', `${uid}`, '--gid', `${uid}`];
    command.push('--chroot-base-dir', base, '--cgroup-version', '2', ...(netns ? ['--netns', netns] : []), ...more);
    return new FakeFirecracker(t, id, [...command, '--', '--api-sock', '/run/api.sock', ...args], join(root, 'run/api.sock'), { root });
  }

  async listening() {
    await waitFor(
      () => {
        if (!this.program.running) throw Object.assign(new Error(`it ended: ${this.program.tail(10)}`), { final: true });
        return existsSync(this.socket);
      },
      { timeout: LIMIT, what: 'the API socket' },
    );
    return this;
  }

  /** { status, body } of one request; body is parsed if it is JSON. */
  request(method, path, body, { agent, headers = {}, raw } = {}) {
    const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const request = http.request(
        { socketPath: this.socket, path, method, agent: agent ?? false, headers: payload === undefined ? headers : { 'Content-Length': Buffer.byteLength(payload), ...headers } },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (part) => (text += part));
          response.on('error', reject);
          response.on('end', () => {
            let parsed = text;
            try {
              parsed = JSON.parse(text);
            } catch {
              // as text
            }
            resolve({ status: response.statusCode, body: parsed, headers: response.headers });
          });
        },
      );
      request.on('error', reject);
      request.end(payload);
    });
  }

  /** The request must be done; returns its answer. */
  async ok(method, path, body) {
    const answer = await this.request(method, path, body);
    if (answer.status > 204) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** A line-wise connection to a port of the guest's; retried while the guest does not listen yet. */
  async vsock(path, port = 5200) {
    return waitFor(() => connectVsock(path, port), { timeout: LIMIT, what: 'the guest to listen' });
  }
}

function connectVsock(path, port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    const lines = [];
    let rest = '';
    let connected = false;
    socket.setEncoding('utf8');
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the connection was refused')));
    socket.on('connect', () => socket.write(`CONNECT ${port}\n`));
    socket.on('data', (text) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop();
      if (!connected && parts.length) {
        const first = parts.shift();
        if (!/^OK \d+$/.test(first)) return reject(new Error(first));
        connected = true;
        resolve({
          socket,
          send: (line) => socket.write(`${line}\n`),
          line: (pattern) => waitFor(() => lines.find((l) => pattern.test(l)), { timeout: LIMIT, what: `the guest to say ${pattern}` }),
          lines: () => lines,
          end: () => socket.destroy(),
        });
      }
      lines.push(...parts);
    });
  });
}

export const restoreOrder = (mac, seed = 'a') =>
  `restore address=172.31.255.2 prefix=30 gateway=172.31.255.1 mac=${mac} hostname=berth-${seed} time_ns=${BigInt(Date.now()) * 1000000n} ` +
  `id=${seed.repeat(32).slice(0, 32)} entropy=${seed.repeat(256).slice(0, 256)}`;

/** Runs a command in a network namespace; its output. */
export const inside = (netns, ...command) => execFileSync('nsenter', [`--net=${netns}`, ...command], { encoding: 'utf8' });
