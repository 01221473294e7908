// The attack suite over the qemu driver: one template, and few clones of it, under TCG so that it runs anywhere.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { attackSuite } from './attack.mjs';
import { BUILD, ROOT } from './harness.mjs';

function missing() {
  if (process.getuid() !== 0) return 'needs root: guests have networks and users of their own';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun on this machine';
  try {
    execFileSync('qemu-system-x86_64', ['--version']);
  } catch {
    return 'qemu-system-x86_64 is not installed and cannot be here (Debian package qemu-system-x86)';
  }
  return false;
}

const skip = missing();
const image = process.env.BERTH_IMAGE ?? join(BUILD, 'image');
const given = process.env.BERTH_E2E_STATE; // with snapshots from another run, to save their making
const state = given ?? mkdtempSync(join(tmpdir(), 'berth-attack-qemu-'));
after(() => given || rmSync(state, { recursive: true, force: true }));
if (!skip && !existsSync(join(image, 'image.json'))) execFileSync('scripts/image', { cwd: ROOT, env: { ...process.env, BUILD }, stdio: 'inherit' });

const env = { BERTH_IMAGE: image, BERTH_STATE: state, BERTH_VM_ACCEL: 'tcg', BERTH_START_PARALLEL: 1, BERTH_VM_READY: 1 };

attackSuite({ driver: 'qemu', skip, guest: true, berths: 2, profile: { cpus: 2 }, api: { BERTH_START_TIMEOUT: '300s' }, env });
