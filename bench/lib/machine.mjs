// What a figure has to be read with: the machine, and how busy it was with other things.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';

const TICK_MS = 10; // USER_HZ is 100 everywhere Linux runs

function first(command, args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim().split('\n')[0];
  } catch {
    return null;
  }
}

/** The machine as a plain object for a summary; browser: path of a Chromium whose version shall be named. */
export function machine({ browser } = {}) {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model ?? 'unknown',
    cores: cpus.length,
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    os: /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? os.platform(),
    node: process.version,
    redis: first('redis-server', ['--version'])?.replace(/^.*?v=(\S+).*$/, '$1') ?? null,
    ...(browser && { browser: first(browser, ['--version']) }),
    load: os.loadavg().map((n) => Number(n.toFixed(2))),
  };
}

/** CPU milliseconds that all cores together have been busy since boot. */
function busyMs() {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0].split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) * TICK_MS;
}

/** All processes: { children: pid → pids, cpu: pid → milliseconds, those it has reaped included }. */
function processes() {
  const children = new Map();
  const cpu = new Map();
  for (const entry of readdirSync('/proc')) {
    if (entry.charCodeAt(0) > 57) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const parent = Number(field[1]);
      if (!children.has(parent)) children.set(parent, []);
      children.get(parent).push(Number(entry));
      cpu.set(Number(entry), (Number(field[11]) + Number(field[12]) + Number(field[13]) + Number(field[14])) * TICK_MS);
    } catch {
      // gone while we looked
    }
  }
  return { children, cpu };
}

function tree(pid, children) {
  const list = [pid];
  for (const next of list) list.push(...(children.get(next) ?? []));
  return list;
}

/** CPU milliseconds of pid and all below it, those it has reaped included. */
export function treeCpuMs(pid) {
  const { children, cpu } = processes();
  return tree(pid, children).reduce((sum, next) => sum + (cpu.get(next) ?? 0), 0);
}

/** CPU milliseconds of all that is below pid now, without it and without what it has reaped. */
export function cpuBelowMs(pid) {
  const { children, cpu } = processes();
  return tree(pid, children).slice(1).reduce((sum, next) => sum + (cpu.get(next) ?? 0), 0);
}

/** The processes below pid, without it. */
export function below(pid) {
  return tree(pid, processes().children).slice(1);
}

/**
 * Resolves once everything below this process has been idle for 100 ms (at most one tick of CPU time), so that what one run left
 * behind does not slow the next, or after limitMs. { quiet, others }: whether it got idle, and the share of all cores (0 to 1) that
 * was in use in the last 100 ms all the same: by other programs. (While our own ones run this cannot be told: what a killed
 * browser's children have used is nobody's any more.)
 */
export async function quiet(limitMs = 5000) {
  const cores = os.cpus().length;
  // Looking costs CPU time itself: only what is below counts.
  const look = () => ({ at: performance.now(), below: treeCpuMs(process.pid) - ownMs(), own: ownMs(), busy: busyMs() });
  const deadline = performance.now() + limitMs;
  for (let before = look(); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const now = look();
    const below = now.below - before.below;
    if (below <= TICK_MS || now.at > deadline) {
      const others = (now.busy - before.busy - (now.own - before.own) - Math.max(0, below)) / ((now.at - before.at) * cores);
      return { quiet: below <= TICK_MS, others: Math.min(1, Math.max(0, others)) };
    }
    before = now;
  }
}

function ownMs() {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(field[11]) + Number(field[12])) * TICK_MS;
}
