// What a worker may leave on its host, and whether it has: processes (zombies too), network namespaces and interfaces, nft
// tables, cgroups, mounts. Each test worker gets a slot of its own (ids, addresses, names), so that what is
// found is its, even while other workers run on the machine.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, existsSync, writeFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const SLOTS = 512;
const UIDS_PER_SLOT = 256;
const FIRST_UID = 300000;

function run(file, args) {
  return new Promise((resolve) => {
    execFile(file, args, { maxBuffer: 1 << 26 }, (error, stdout) => resolve(error ? '' : stdout));
  });
}

/** Reserves a slot among all test processes of this machine: { uidBase, net, matches(ip), free() }. */
export function takeSlot() {
  const dir = '/tmp/berth-e2e-slots'; // whatever TMPDIR is: user ids and addresses are the machine's
  mkdirSync(dir, { recursive: true });
  const first = process.pid % SLOTS;
  for (let i = 0; i < SLOTS; i++) {
    const slot = (first + i) % SLOTS;
    const file = join(dir, String(slot));
    if (existsSync(file) && existsSync(`/proc/${readFileSync(file, 'utf8')}`)) continue;
    rmSync(file, { force: true });
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
    } catch {
      continue; // somebody else was quicker
    }
    const second = 214 + (slot >> 4); // 10.214.0.0 … 10.245.255.255, a /20 each
    const third = (slot & 15) << 4;
    return {
      uidBase: FIRST_UID + slot * UIDS_PER_SLOT,
      net: `10.${second}.${third}.0/20`,
      owns(ip) {
        const part = ip.split('.').map(Number);
        return part[0] === 10 && part[1] === second && (part[2] & 0xf0) === third;
      },
      free: () => rmSync(file, { force: true }),
    };
  }
  throw new Error('no slot is free');
}

/** All processes: Map of pid to { pid, ppid, state, start, name, uids }. */
export function processes() {
  const all = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      const close = stat.lastIndexOf(')');
      const rest = stat.slice(close + 2).split(' ');
      const uid = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${entry}/status`, 'latin1'));
      all.set(Number(entry), {
        pid: Number(entry),
        name: stat.slice(stat.indexOf('(') + 1, close),
        state: rest[0],
        ppid: Number(rest[1]),
        start: rest[19],
        uids: uid ? uid[1].split(/\s+/).map(Number) : [],
      });
    } catch {
      // gone while we looked
    }
  }
  return all;
}

/** pid's descendants now, pid itself not included. */
export function descendants(pid, all = processes()) {
  const found = [];
  const wanted = new Set([pid]);
  for (let grew = true; grew; ) {
    grew = false;
    for (const p of all.values()) {
      if (wanted.has(p.ppid) && !wanted.has(p.pid)) {
        wanted.add(p.pid);
        found.push(p);
        grew = true;
      }
    }
  }
  return found;
}

const describe = (p) => `process ${p.pid} (${p.name}, state ${p.state}, parent ${p.ppid}, uid ${p.uids[0]})`;

/** Processes that are left: those of `seen` (from descendants) that still run, and any with one of the slot's user ids. */
export function leftProcesses(slot, seen = []) {
  const all = processes();
  const left = new Map();
  for (const old of seen) {
    const now = all.get(old.pid);
    if (now && now.start === old.start) left.set(now.pid, now);
  }
  for (const p of all.values()) {
    if (p.uids.some((uid) => uid >= slot.uidBase && uid < slot.uidBase + UIDS_PER_SLOT)) left.set(p.pid, p);
  }
  return [...left.values()].map(describe);
}

function cgroupsNamed(word, dir = '/sys/fs/cgroup', depth = 0) {
  const found = [];
  let entries = [];
  try {
    entries = readdirSync(dir, { withFileTypes: true });
  } catch {
    return found;
  }
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const path = join(dir, entry.name);
    if (entry.name.includes(word)) found.push(`cgroup ${path}`);
    else if (depth < 5) found.push(...cgroupsNamed(word, path, depth + 1));
  }
  return found;
}

async function leftNetwork(slot, workerId) {
  const found = [];
  const addresses = async (args, where) => {
    const text = await run('ip', [...args, '-j', 'addr', 'show']);
    for (const link of text ? JSON.parse(text) : []) {
      for (const a of link.addr_info ?? []) {
        if (a.local && slot.owns(a.local)) found.push(`interface ${link.ifname} ${a.local}${where}`);
      }
    }
  };
  await addresses([], '');
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  for (const name of namespaces) {
    if (name.includes(workerId)) found.push(`network namespace ${name}`);
    else await addresses(['-n', name], ` in network namespace ${name}`);
  }
  const [a, b] = slot.net.split('.');
  const third = Number(slot.net.split('.')[2]);
  for (const line of (await run('nft', ['list', 'ruleset'])).split('\n')) {
    const ips = line.match(/\b10\.\d+\.\d+\.\d+/g) ?? [];
    const ours = ips.some((ip) => ip.startsWith(`${a}.${b}.`) && (Number(ip.split('.')[2]) & 0xf0) === third);
    if (ours || line.includes(workerId)) found.push(`nft: ${line.trim()}`);
  }
  return found;
}

/** Everything but processes that names this worker: namespaces, interfaces, nft rules, cgroups, mounts. */
export async function leftThings(slot, workerId) {
  const found = await leftNetwork(slot, workerId);
  found.push(...cgroupsNamed(workerId));
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    if (line.includes(workerId)) found.push(`mount ${line.split(' ')[4]}`);
  }
  return found;
}
