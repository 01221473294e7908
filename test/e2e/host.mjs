// The host that tests run on: its processes, and slots. Each test worker gets a slot of its own (user ids, addresses), so that
// what is found of it (inventory.mjs) is its, even while other workers run on the machine.
import { mkdirSync, readFileSync, readdirSync, existsSync, writeFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const SLOTS = 512;
const UIDS_PER_SLOT = 256;
const FIRST_UID = 300000;

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

/** Whether this user id is one of the slot's. */
export const hasUser = (slot, uid) => uid >= slot.uidBase && uid < slot.uidBase + UIDS_PER_SLOT;

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
    if (p.uids.some((uid) => hasUser(slot, uid))) left.set(p.pid, p);
  }
  return [...left.values()].map(describe);
}
