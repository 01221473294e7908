// What attackers look for, on the tests' own host: servers on all of its addresses, a "private network" (a network namespace with
// addresses of every range that is not public) that this host has routes to, sockets, a secret file, shared memory. All of it
// answers whoever gets there, so that a refusal is the product's.
import dgram from 'node:dgram';
import net from 'node:net';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from './harness.mjs';
import { countPackets } from './attack_packets.mjs';
import { Program } from './program.mjs';

export const INSIDE_PORT = 8080; // of the private network's server, and of what listens in a berth

const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();

/** Answers HTTP and everything else with "canary"; counts. */
function serveTcp(host, hits) {
  const server = net.createServer((socket) => {
    hits.tcp++;
    socket.on('error', () => {});
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 6\r\n\r\ncanary'));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, () => {
      server.unref();
      resolve(server);
    });
  });
}

const listenUnix = (path) =>
  new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.end('canary'));
    server.once('error', reject);
    server.listen({ path }, () => {
      server.unref();
      resolve(server);
    });
  });

/** Removes what runs that were killed have left: names have the process's number in them. */
function removeDead() {
  for (const [, pid] of ip('netns').matchAll(/^attack-(\d+)/gm)) {
    if (existsSync(`/proc/${pid}`)) continue;
    try {
      for (const holder of ip('netns', 'pids', `attack-${pid}`).trim().split('\n').filter(Boolean)) process.kill(Number(holder), 'SIGKILL');
      ip('netns', 'delete', `attack-${pid}`);
      ip('link', 'delete', `atk${pid}`);
    } catch {
      // gone by itself, or somebody else removes it too
    }
  }
}

/** A network beyond this host: { name, addresses, visitor }. Its addresses are its own process's, so that runs beside each other do not meet. */
async function privateNetwork(scope, dir) {
  const name = `attack-${process.pid}`;
  const outer = `atk${process.pid}`;
  removeDead();
  const taken = ip('route');
  let n = 1 + (process.pid % 60);
  while (taken.includes(`10.255.${n}.77`)) n++; // other runs' on this machine
  const m = 4 * n;
  const addresses = [`10.255.${n}.77`, `172.31.${n}.77`, `192.168.${n}.77`, `100.127.${n}.77`, `169.254.${n}.77`, `198.19.${n}.77`];
  // And one that the world could have: what a berth answers to it is not refused on its way back.
  const visitor = `198.51.99.${n}`;
  const [near, far] = [`203.0.113.${m + 1}`, `203.0.113.${m + 2}`];
  ip('netns', 'add', name);
  scope.after(() => {
    try {
      ip('netns', 'delete', name);
    } catch (error) {
      console.error(`the private network is left: ${error.message}`);
    }
  });
  ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  ip('addr', 'add', `${near}/30`, 'dev', outer);
  ip('link', 'set', outer, 'up');
  ip('-n', name, 'link', 'set', 'lo', 'up');
  ip('-n', name, 'addr', 'add', `${far}/30`, 'dev', 'eth0');
  ip('-n', name, 'link', 'set', 'eth0', 'up');
  ip('-n', name, 'route', 'add', 'default', 'via', near);
  writeFileSync(`/proc/sys/net/ipv4/conf/${outer}/forwarding`, '1');
  for (const address of [...addresses, visitor]) {
    ip('-n', name, 'addr', 'add', `${address}/32`, 'dev', 'lo');
    ip('route', 'add', `${address}/32`, 'via', far);
  }
  const script = `require('net').createServer((s) => { s.on('error', () => {}); s.once('data', () => s.end('HTTP/1.1 200 OK\\r\\ncontent-length: 6\\r\\n\\r\\ncanary')) })
    .listen(${INSIDE_PORT}, '0.0.0.0', () => console.log('serving'))`;
  const server = new Program('private network', ['ip', 'netns', 'exec', name, process.execPath, '-e', script], {
    env: process.env,
    cwd: dir,
    logFile: join(dir, 'private.log'),
  });
  scope.after(() => server.kill());
  await server.line(/serving/, 60000);
  return { name, addresses, visitor };
}

export async function startTargets(scope) {
  const hits = { tcp: 0, udp: 0 };
  const dir = mkdtempSync('/tmp/berth-attack-');
  scope.after(() => rmSync(dir, { recursive: true, force: true }));
  chmodSync(dir, 0o755);
  const tcp = await serveTcp('0.0.0.0', hits);
  const tcp6 = await serveTcp('::', hits).catch(() => null); // a host without IPv6
  const udp = dgram.createSocket('udp4', () => hits.udp++);
  await new Promise((resolve) => udp.bind(0, '0.0.0.0', resolve));
  udp.unref();
  const paths = [join(dir, 'canary.sock'), `\0berth-attack-${process.pid}`];
  const sockets = [];
  for (const path of paths) sockets.push(await listenUnix(path));
  chmodSync(paths[0], 0o777);
  const secret = join(dir, 'secret.txt');
  writeFileSync(secret, 'secret', { mode: 0o644 });
  const shm = /(\d+)\s*$/.exec(execFileSync('ipcmk', ['-M', '4096', '-p', '0666']).toString())[1];
  scope.after(() => {
    for (const server of [tcp, tcp6, ...sockets]) server?.close();
    udp.close();
    execFileSync('ipcrm', ['-m', shm]);
  });
  const beyond = await privateNetwork(scope, dir);
  return {
    hits,
    packets: countPackets(scope, { udpPort: udp.address().port, tcpPort: tcp.address().port, insidePort: INSIDE_PORT, ...beyond }),
    dir,
    secret,
    shm,
    tcpPort: tcp.address().port,
    tcp6Port: tcp6?.address().port,
    udpPort: udp.address().port,
    unix: [paths[0], `@berth-attack-${process.pid}`],
    beyond,
  };
}

/** Connects to a berth's INSIDE_PORT from the private network: 'reached', the error's code, or 'dropped' by the host. */
export async function knock(targets, address) {
  const script = `const s = require('net').connect({ port: ${INSIDE_PORT}, host: '${address}', localAddress: '${targets.beyond.visitor}' }, () => { console.log('reached'); process.exit() });
    s.on('error', (e) => { console.log(e.code); process.exit() })`;
  const before = await targets.packets.counts();
  const client = new Program('knock', ['ip', 'netns', 'exec', targets.beyond.name, process.execPath, '-e', script], {
    env: process.env,
    cwd: targets.dir,
    logFile: join(targets.dir, 'knock.log'),
  });
  const { counts } = targets.packets;
  const dropped = async () => (await counts()).arrived.knock > before.arrived.knock && (await counts()).passed.knock === before.passed.knock;
  try {
    return await waitFor(async () => client.lines.find((line) => /^(reached|E[A-Z]+)$/.test(line)) ?? ((await dropped()) && 'dropped'), {
      what: 'what comes of knocking',
    });
  } finally {
    await client.kill();
  }
}

/** The berth's own addresses: { host, self }. */
export function addressesOf(worker, berth) {
  const [a, b, c] = worker.slot.net.split('/')[0].split('.').map(Number);
  return { host: `${a}.${b}.${c}.${4 * berth + 1}`, self: `${a}.${b}.${c}.${4 * berth + 2}` };
}

/** A connection from a berth to this host that stays: { port, opened, gone } with promises for its beginning and end. */
export async function startHeld(t) {
  const held = {};
  held.opened = new Promise((opened) => {
    held.gone = new Promise((gone) => {
      held.server = net.createServer((socket) => {
        socket.resume();
        socket.on('error', () => {});
        socket.on('close', gone);
        opened();
      });
    });
  });
  await new Promise((resolve) => held.server.listen(0, '0.0.0.0', resolve));
  held.server.unref();
  held.port = held.server.address().port;
  t.after(() => held.server.close());
  return held;
}

/** promise, which must come within the budget of ms. */
export async function inTime(promise, what, ms = 60000) {
  let done = false;
  let value;
  promise.then(
    (v) => ((done = true), (value = v)),
    () => (done = true),
  );
  await waitFor(() => done, { timeout: ms, what });
  return value;
}

/** A server in a berth's own namespace: what would be there to be reached. The caller kills it, since it would be found as left over. */
export async function serveInside(t, stack, worker, berth) {
  const script = `require('net').createServer((s) => { s.on('error', () => {}); s.end('HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nhi') }).listen(${INSIDE_PORT}, '0.0.0.0', () => console.log('serving'))`;
  const server = new Program('inside', ['ip', 'netns', 'exec', `berth-${worker.id}-${berth}`, process.execPath, '-e', script], {
    env: process.env,
    cwd: stack.dir,
    logFile: join(stack.dir, `inside-${berth}.log`),
  });
  t.after(() => server.kill());
  await server.line(/serving/, 60000);
  return server;
}
