// Everything on a host that bears the mark of one worker: its id, its slot's user ids or addresses. Empty once the worker has
// ended; not empty while it lives, which is how tests show that there is something to find.
//
//   await leftThings(slot, workerId)       ['network namespace berth-e1-0', 'cgroup /sys/fs/cgroup/…', …], processes not included
//   await leftThings(slot, workerId, { folders: [stateFolder], containers: (id) => engine.containers(id) })
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasUser } from './host.mjs';

/** Where drivers keep files, and how deep: sockets, jails' roots, device files, shared memory, snapshots. */
const PLACES = [
  ['/run', 4],
  ['/dev/shm', 2],
  ['/srv', 4],
  ['/var/lib/berth', 3],
  [tmpdir(), 1],
];
const SKIPPED = new Set(['/run/netns', '/run/systemd', '/run/udev']); // the first is looked at as what it is

function run(file, args) {
  return new Promise((resolve) => {
    execFile(file, args, { maxBuffer: 1 << 26 }, (error, stdout) => resolve(error ? '' : stdout));
  });
}

/** Whether text has the id as a word of its own: e7-1 is not in e7-12. */
function naming(id) {
  const word = new RegExp(`(?<![A-Za-z0-9])${id.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![A-Za-z0-9])`);
  return (text) => word.test(text);
}

function entries(dir) {
  try {
    return readdirSync(dir, { withFileTypes: true });
  } catch {
    return []; // gone while we looked, or not ours to read
  }
}

function cgroups(named, dir = '/sys/fs/cgroup', depth = 0) {
  const found = [];
  for (const entry of entries(dir)) {
    if (!entry.isDirectory()) continue;
    const path = join(dir, entry.name);
    if (named(entry.name)) found.push(`cgroup ${path}`);
    else if (depth < 5) found.push(...cgroups(named, path, depth + 1));
  }
  return found;
}

function owner(path) {
  try {
    return lstatSync(path).uid;
  } catch {
    return -1;
  }
}

function files(slot, named, dir, depth) {
  const found = [];
  for (const entry of entries(dir)) {
    const path = join(dir, entry.name);
    if (SKIPPED.has(path)) continue;
    if (named(entry.name) || hasUser(slot, owner(path))) found.push(`file ${path}`);
    else if (entry.isDirectory() && depth > 1) found.push(...files(slot, named, path, depth - 1));
  }
  return found;
}

/** The first letters of the names that the worker gives to its interfaces on the host. */
const interfacesOf = (workerId) => `bth${createHash('sha256').update(workerId).digest('hex').slice(0, 6)}-`;

async function network(slot, workerId, named) {
  const found = [];
  const interfaces = async (args, where) => {
    const text = await run('ip', [...args, '-j', 'addr', 'show']);
    for (const link of text ? JSON.parse(text) : []) {
      const own = (link.addr_info ?? []).filter((a) => a.local && slot.owns(a.local)).map((a) => a.local);
      if (own.length || link.ifname.startsWith(interfacesOf(workerId))) found.push(`interface ${[link.ifname, ...own].join(' ')}${where}`);
    }
  };
  await interfaces([], '');
  for (const { name } of entries('/run/netns')) {
    if (named(name)) found.push(`network namespace ${name}`);
    else await interfaces(['-n', name], ` in network namespace ${name}`);
  }
  for (const line of (await run('nft', ['list', 'ruleset'])).split('\n')) {
    const ours = (line.match(/\b10\.\d+\.\d+\.\d+/g) ?? []).some((ip) => slot.owns(ip));
    if (ours || named(line) || line.includes(interfacesOf(workerId))) found.push(`nft: ${line.trim()}`);
  }
  return found;
}

/** folders: more places for files, to any depth. containers(workerId): those of an engine, also ended ones, as it lists them. */
export async function leftThings(slot, workerId, { folders = [], containers } = {}) {
  const named = naming(workerId);
  const found = await network(slot, workerId, named);
  found.push(...cgroups(named));
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    if (named(line)) found.push(`mount ${line.split(' ')[4]}`);
  }
  for (const [dir, depth] of [...PLACES, ...folders.map((folder) => [folder, 8])]) found.push(...files(slot, named, dir, depth));
  for (const { Names, State } of (await containers?.(workerId)) ?? []) found.push(`container ${Names} ${State}`);
  return found;
}
