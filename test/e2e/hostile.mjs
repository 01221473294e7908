// A compromised browser: test/hostile's program runs in a berth in the browser's place, with an agent beside the real one that
// carries out orders; in a machine monitor's place it is what a guest that escaped would be. Each check gives some, reads what came of them, and returns what was wrong: a list that has to be empty
// where a berth is protected (attack-hostile*.test.mjs), and must not be where a protection was taken away
// (attack-mutations.test.mjs).
import { chmodSync, closeSync, constants, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, waitFor } from './harness.mjs';
import { processes } from './host.mjs';
import { addressesOf, knock, INSIDE_PORT } from './attack_targets.mjs';

export const BROWSER = 'hostile-headless';
export const LIMITS = { memoryMb: 512, pids: 200, shmMb: 48, tmpMb: 96, cpus: 1.5 };
const FILES = 8192; // descriptors of a process
const ORDERS = 60; // the agent's descriptors: hostile.c's numbers
const ANSWERS = 61;
const BUDGET = 120000;

/** A copy of the program where any user may run it; its name says what it stands in for. */
export function placeBrowser(dir, name = BROWSER) {
  const folder = join(dir, 'browser');
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  const path = join(folder, name);
  copyFileSync(join(BUILD, 'test/hostile', BROWSER), path);
  chmodSync(path, 0o755);
  return path;
}

const inode = (path) => {
  try {
    return statSync(path).ino;
  } catch {
    return 0;
  }
};

/** What runs in the berth's network: the agent is found by it whatever else was taken away. */
const inBerth = (worker, berth) => {
  const wanted = inode(`/run/netns/berth-${worker.id}-${berth}`);
  return [...processes().values()].filter(({ pid }) => wanted && inode(`/proc/${pid}/ns/net`) === wanted);
};

let orders = 0; // numbers of this process's; an agent may be found more than once

/** A browser may end, and its berth with it: one whose limits were used up, or a warm one that was given up. Then nothing was found out. */
export class AgentGone extends Error {}

export class Agent {
  /** The agent of a berth, once its browser is up. */
  static async find(worker, berth) {
    const agent = new Agent();
    Object.assign(agent, { worker, berth });
    await waitFor(
      () => {
        if (!worker.running) throw Object.assign(new Error('the worker ended'), { final: true });
        const found = inBerth(worker, berth).find(({ name, pid }) => name === 'hostile-agent' && existsSync(`/proc/${pid}/fd/${ANSWERS}`));
        return found && Object.assign(agent, { pid: found.pid, start: found.start, uids: found.uids });
      },
      { timeout: BUDGET, what: `the agent in berth ${berth}` },
    );
    return agent;
  }

  get alive() {
    return processes().get(this.pid)?.start === this.start;
  }

  #file(descriptor) {
    return `/proc/${this.pid}/fd/${descriptor}`;
  }

  /** Lines of the attack's answer; it throws AgentGone if it did not survive it. */
  async order(...words) {
    const number = ++orders;
    try {
      const fd = openSync(this.#file(ORDERS), constants.O_WRONLY | constants.O_APPEND);
      writeSync(fd, `${number} ${words.join(' ')}\n`);
      closeSync(fd);
    } catch (error) {
      if (!this.alive) throw new AgentGone(`before ${words[0]}`);
      throw error;
    }
    return waitFor(
      () => {
        const answer = this.#answer(number);
        if (!answer && !this.alive) throw Object.assign(new AgentGone(`during ${words[0]}`), { final: true });
        return answer;
      },
      { timeout: BUDGET, what: `the answer to ${words.join(' ').slice(0, 80)}` },
    );
  }

  #answer(number) {
    let text;
    try {
      text = readFileSync(this.#file(ANSWERS), 'latin1');
    } catch (error) {
      if (this.alive) throw error;
      return null;
    }
    const lines = text.split('\n');
    const from = lines.indexOf(`begin ${number}`);
    const to = lines.indexOf(`end ${number}`);
    return from >= 0 && to > from ? lines.slice(from + 1, to).filter(Boolean) : null;
  }

  /** The number after a word at the start of a line. */
  async number(word, ...words) {
    const lines = await this.order(...words);
    const line = lines.find((l) => l.startsWith(`${word} `));
    return line ? Number(line.split(' ')[1]) : NaN;
  }
}

const yes = (lines) => lines.filter((line) => / yes$|: yes$/.test(line)).map((line) => line.replace(/: yes$/, ' succeeded'));
const unless = (right, text) => (right ? [] : [text]);

/** Answers that should all have been "no", and were all given. */
function refused(lines, count) {
  return [...yes(lines), ...unless(lines.length >= count, `${lines.length} answers instead of ${count}: ${lines.slice(-3).join('; ')}`)];
}

// ---- checks: each gets { agent, targets, worker, driver, stack, victim, limits } and returns what was wrong ----

/** Everything that is not the public internet, by TCP and UDP. */
async function reach({ agent, targets, worker, stack, victim }) {
  const { host, self } = addressesOf(worker, agent.berth);
  const redisLess = [worker.port, ...(stack.apis.length ? [stack.apis[0].port] : [])];
  const pairs = [];
  for (const at of [host, '127.0.0.1', '0.0.0.0']) for (const port of [targets.tcpPort, ...redisLess]) pairs.push([at, port]);
  for (const at of targets.beyond.addresses) pairs.push([at, INSIDE_PORT]);
  for (const at of ['169.254.169.254', '10.0.0.1', '172.16.0.1', '192.168.0.1', '224.0.0.1']) pairs.push([at, 80]);
  for (const at of ['127.0.0.1', self]) pairs.push([at, 9222]);
  if (targets.tcp6Port) for (const at of ['::1', `::ffff:${host}`, 'fe80::1']) pairs.push([at, targets.tcp6Port]);
  if (victim !== undefined) for (const port of [INSIDE_PORT, 9222]) pairs.push([addressesOf(worker, victim).self, port]);
  const before = { ...targets.hits };
  await agent.order('udp', ...['127.0.0.1', host, ...targets.beyond.addresses].flatMap((at) => [at, targets.udpPort]));
  const lines = await agent.order('tcp', ...pairs.flat());
  return [
    ...refused(lines, pairs.length),
    ...unless(targets.hits.tcp === before.tcp, 'something connected to this host'),
    ...unless(targets.hits.udp === before.udp, 'a datagram came to this host'),
  ];
}

/** From outside: another network's host looks for the berth's ports. */
async function entered({ agent, targets, worker }) {
  await agent.order('listen', INSIDE_PORT);
  const said = await knock(targets, addressesOf(worker, agent.berth).self);
  return unless(said !== 'reached', 'the berth can be reached from outside');
}

async function unix({ agent, targets, stack }) {
  const paths = [...targets.unix, stack.redisServer.socket, '/run/docker.sock', '/var/run/docker.sock', '/run/dbus/system_bus_socket'];
  return refused(await agent.order('unix', ...paths), paths.length);
}

const SECRETS = ['/etc/shadow', '/proc/1/root/etc/shadow', '/root', '/home', '/var/lib/dpkg/status', '/var/log'];
const DEVICES = ['/dev/mem', '/dev/kmsg', '/dev/kvm', '/dev/net/tun', '/dev/fuse', '/dev/sda', '/dev/vda', '/dev/loop0', '/proc/kcore', '/proc/kmsg'];
const KERNEL = ['/sys/kernel', '/sys/fs/cgroup', '/sys/class/net'];

async function files({ agent, targets, driver }) {
  // An image has its own package list; what runs in it is nobody's secret.
  const secrets = SECRETS.filter((path) => driver !== 'docker' || !/dpkg|\/var\/log|\/home/.test(path));
  const list = [targets.secret, `/proc/1/root${targets.secret}`, ...secrets, ...DEVICES, ...KERNEL];
  return refused(await agent.order('files', ...list), list.length);
}

/** Only /tmp and /dev/shm may be written; by a machine monitor nothing. */
async function writes({ agent, driver }) {
  const folders = ['/', '/etc/', '/usr/', '/usr/local/', '/usr/bin/', '/var/', '/run/', '/dev/', '/home/', '/opt/', '/proc/'];
  const knobs = ['/proc/sys/kernel/core_pattern', '/proc/sys/vm/drop_caches', '/proc/sysrq-trigger', '/proc/sys/user/max_user_namespaces', '/etc/hosts', '/etc/resolv.conf'];
  if (driver !== 'docker') knobs.push('/dev/ptmx'); // an engine gives each container a terminal's devices
  if (driver === 'qemu') folders.push('/tmp/', '/dev/shm/');
  const lines = await agent.order('write', ...folders, ...knobs);
  const found = refused(lines, folders.length + knobs.length);
  for (const line of await agent.order('mounts')) {
    const [, where, options, type] = line.startsWith('mount ') ? line.split(' ') : [];
    // What the kernel itself shows, and an engine's own empty file systems, are judged by the attempts above.
    const given = driver === 'docker' ? /^(proc|tmpfs|devpts|mqueue|sysfs|cgroup2?)$/ : /^(proc|devtmpfs|devpts|mqueue)$/;
    const own = driver !== 'qemu' && /^\/(tmp|dev\/shm)$/.test(where);
    if (where && options.split(',').includes('rw') && !own && !given.test(type)) {
      // The engine's files for a container are root's, and single devices are no places.
      if (!/^\/dev\/\w+$|^\/etc\/(hosts|hostname|resolv.conf)$/.test(where)) found.push(`${where} (${type}) is mounted writable`);
    }
  }
  return found;
}

/** The host's names and places do not show. */
async function names({ agent, driver, worker }) {
  const lines = await agent.order('mounts');
  const settings = driver === 'process' && existsSync('/usr/local/etc') && !lines.some((line) => /^mount \/usr\/local\/etc \S*\bro\b\S* tmpfs/.test(line));
  return [
    ...lines.filter((line) => line.startsWith('cgroup ') && line.includes(worker.id)),
    ...lines.filter((line) => /^cgroup .*(docker|\.\.)/.test(line)),
    ...unless(!settings, "the host's /usr/local/etc shows"),
    ...unless(lines.some((line) => line.startsWith('hostname ') && line !== `hostname ${readFileSync('/proc/sys/kernel/hostname', 'utf8').trim()}`), "the host's name shows"),
  ];
}

/** What it shares with others, other guests of the same snapshot above all, stays as it is. */
async function held({ agent }) {
  return refused(await agent.order('held'), 15); // memory, state, root, kernel and initrd, in three ways each
}

async function memories({ agent, targets }) {
  return refused(await agent.order('shm', targets.shm), 1);
}

/** Only the browser's own, and nothing above them. */
async function seen({ agent }) {
  const known = /^(bwrap|qemu-system-x86|docker-init|sh|cat|hostile-\w+|hostile-headles.*|chrom\w*|chrome.*|headless.*|.*_handler|ThreadPool.*)/;
  const answer = await agent.order('processes');
  const lines = answer.filter((line) => line.startsWith('process '));
  return [
    ...lines.filter((line) => !known.test(line.split(' ')[2])),
    ...unless(lines.length > 2, `no process was seen: ${answer.join('; ')}`),
  ];
}

async function syscalls({ agent }) {
  const lines = await agent.order('syscalls');
  // In a user namespace of one's own a raw socket, a host name and the like are one's own, too.
  return refused(lines.filter((line) => !/^own sethostname|^raw|^handle/.test(line)), 30);
}

/** Each of these must end in the filter, not in what the kernel thinks of the arguments. */
async function filtered({ agent }) {
  const wanted = /^(keyctl|add_key|io_setup|io_uring|userfaultfd|perf|bpf|ptrace|vm_readv|kcmp|mount|umount|setns|handle|module|kexec|fanotify|quotactl|acct|own (mount|bind|umount|fsopen|pivot_root)): /;
  const lines = (await agent.order('syscalls')).filter((line) => wanted.test(line) || /^own .*: no EPERM$/.test(line));
  return lines.filter((line) => !line.endsWith(': no EPERM'));
}

async function privileges({ agent, worker, driver, limits }) {
  const lines = await agent.order('privileges');
  const status = (key) => lines.find((line) => line.startsWith(`status ${key}:`))?.split(/\s+/).slice(2).join(' ') ?? '';
  const found = yes(lines);
  for (const key of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) found.push(...unless(/^0+$/.test(status(key)), `${key} is ${status(key)}`));
  return [
    ...found,
    ...unless(status('NoNewPrivs') === '1', 'it may gain privileges'),
    // QEMU's is its own making, once it runs: nothing that stands beside it has one.
    ...unless(status('Seccomp') === '2' || driver === 'qemu', 'there is no filter'),
    ...unless(agent.uids.every((uid) => uid === worker.slot.uidBase + agent.berth), `its users are ${agent.uids.join()}`),
    ...unless(lines.includes('limit core 0'), 'it may dump core'),
    ...unless(Number(lines.find((line) => line.startsWith('limit nofile '))?.split(' ')[2]) <= limits.files, 'it may open any number of files'),
    ...unless(Number(lines.find((line) => line.startsWith('oom_score_adj '))?.split(' ')[1]) >= 100, 'it is not killed before the worker'),
  ];
}

/** Kinds of namespaces that are nobody's need. Chromium's sandbox takes user, pid and network ones. */
async function namespaces({ agent, driver }) {
  const lines = await agent.order('namespaces');
  const needed = driver === 'docker' ? /^(user): / : /^user/;
  return refused(lines.filter((line) => !needed.test(line)), driver === 'docker' ? 9 : 5);
}

async function forks({ agent, limits }) {
  const made = await agent.number('forks', 'forks', limits.pids + 150);
  return unless(made > 0 && made <= limits.pids, `${made} processes`);
}

async function memory({ agent, limits }) {
  const most = limits.memoryMb + 64;
  const lines = await agent.order('memory', most);
  const held = Number(lines.find((line) => line.startsWith('memory '))?.split(' ')[1] ?? 0);
  return unless(held < limits.memoryMb, `${held} MB of memory`);
}

async function fillTmp({ agent, limits }) {
  const held = await agent.number('fill', 'fill', '/tmp', limits.tmpMb + 32);
  return unless(held <= limits.tmpMb, `${held} MB in /tmp`);
}

async function fillShm({ agent, limits }) {
  const held = await agent.number('fill', 'fill', '/dev/shm', limits.shmMb + 32);
  return unless(held <= limits.shmMb, `${held} MB in /dev/shm`);
}

async function descriptors({ agent, limits }) {
  const count = await agent.number('descriptors', 'descriptors', limits.files + 1000);
  return unless(count <= limits.files, `${count} descriptors`);
}

/** The files of the berth's cgroup that say how much CPU it gets. */
async function cpu({ agent, limits }) {
  const mine = readFileSync(`/proc/${agent.pid}/cgroup`, 'utf8').split('\n').map((line) => line.split(':'));
  const v1 = mine.find(([, list]) => list?.split(',').includes('cpu'));
  const dir = v1 ? ['cpu', 'cpu,cpuacct', v1[1]].map((name) => `/sys/fs/cgroup/${name}${v1[2]}`).find(existsSync) : `/sys/fs/cgroup${mine.find(([n]) => n === '0')[2]}`;
  const quota = readFileSync(join(dir, v1 ? 'cpu.cfs_quota_us' : 'cpu.max'), 'utf8').trim();
  return unless(quota.split(' ')[0] === String(limits.cpus * 100000), `its CPU quota is ${quota}`);
}

export const CHECKS = { reach, entered, unix, files, writes, names, memories, seen, syscalls, filtered, privileges, namespaces, forks, memory, fillTmp, fillShm, descriptors, cpu };

export const MONITOR_CHECKS = { held }; // of a machine monitor alone

export const processesIn = inBerth;

/** A check's problems. renew(): a context for another attempt, where the agent ended before it could say anything. */
export async function look(name, renew, attempts = 4) {
  for (;;) {
    try {
      const check = CHECKS[name] ?? MONITOR_CHECKS[name];
      return await check({ limits: { ...LIMITS, files: FILES }, ...(await renew()) });
    } catch (error) {
      if (!(error instanceof AgentGone) || --attempts === 0) throw error;
    }
  }
}
