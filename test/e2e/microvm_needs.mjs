// What the drivers of microVMs need of the machine that tests and benchmarks run on: rights, programs, the image, a folder.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUILD, ROOT } from './harness.mjs';

export const IMAGE = process.env.BERTH_IMAGE ?? join(BUILD, 'image');

/** Why no guest can run here, whatever the machine monitor; false if one can. */
export function noGuests() {
  if (process.getuid() !== 0) return 'needs root: guests have networks and users of their own';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun on this machine';
  return false;
}

/** The same of guests of QEMU, which needs no KVM. */
export function noQemu() {
  try {
    execFileSync('qemu-system-x86_64', ['--version']);
  } catch {
    return noGuests() || 'qemu-system-x86_64 is not installed and cannot be here (Debian package qemu-system-x86)';
  }
  return noGuests();
}

/** Makes the image where there is none: half a minute, and what downloading 200 MB takes. */
export function needImage() {
  if (!existsSync(join(IMAGE, 'image.json'))) execFileSync('scripts/image', { cwd: ROOT, env: { ...process.env, BUILD }, stdio: ['ignore', 2, 2] });
}

/** A worker's settings over the image: a folder for snapshots that goes with the scope (BERTH_KEEP=1: stays), and one profile. */
export function microvmState(scope, name) {
  const state = mkdtempSync(join(tmpdir(), `berth-${name}-`));
  const profiles = join(state, 'profiles.json');
  scope.after(() => process.env.BERTH_KEEP || rmSync(state, { recursive: true, force: true }));
  writeFileSync(profiles, JSON.stringify({ profiles: [{ name: 'default', warm: 1, memoryMb: 512, cpus: 2 }] }));
  return { BERTH_IMAGE: IMAGE, BERTH_STATE: state, BERTH_PROFILES: profiles };
}
