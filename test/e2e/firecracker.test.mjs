// The firecracker driver for real: BERTH_FIRECRACKER and BERTH_JAILER say where the programs are, KVM has to work, and the image is
// the one of scripts/image. The suite that all drivers pass and the one of all microVMs. Without them firecracker_fake.test.mjs
// shows what can be shown.
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUILD, ROOT } from './harness.mjs';
import { driverFile } from './driver_file.mjs';
import { driverSuite } from './driver_suite.mjs';
import { manySessions } from './many_sessions.mjs';
import { microvmSuite } from './microvm_suite.mjs';

const MEMORY_MB = 512;
const programs = { BERTH_FIRECRACKER: process.env.BERTH_FIRECRACKER, BERTH_JAILER: process.env.BERTH_JAILER };

function missing() {
  for (const [name, path] of Object.entries(programs)) {
    if (!path) return `${name} does not say where Firecracker is`;
    if (!existsSync(path)) return `${name}: there is no ${path}`;
  }
  if (process.getuid() !== 0) return 'needs root: jails, and users and networks of guests';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun on this machine';
  try {
    closeSync(openSync('/dev/kvm', 'r+'));
  } catch (error) {
    return `KVM does not work here: ${error.message}`;
  }
  return false;
}

const image = process.env.BERTH_IMAGE ?? join(BUILD, 'image');
let state;

const file = driverFile({
  driver: 'firecracker',
  skip: missing(),
  budget: 90000,
  start: 180000,
  browser: /^firecracker/,
  prepare(scope) {
    if (!existsSync(join(image, 'image.json'))) execFileSync('scripts/image', { cwd: ROOT, env: { ...process.env, BUILD }, stdio: 'inherit' });
    state = mkdtempSync(join(tmpdir(), 'berth-fc-'));
    scope.after(() => process.env.BERTH_KEEP || rmSync(state, { recursive: true, force: true }));
    writeFileSync(join(state, 'profiles.json'), JSON.stringify({ profiles: [{ name: 'default', warm: 1, memoryMb: MEMORY_MB, cpus: 2 }] }));
  },
  env: () => ({ ...programs, BERTH_IMAGE: image, BERTH_STATE: state, BERTH_PROFILES: join(state, 'profiles.json') }),
  traces: () => ({ folders: [join(state, 'jails')] }),
});

driverSuite(file);
microvmSuite(file, { state: () => state, misfit: (text) => text.replace(/firecracker \d+\./, 'firecracker 0.') });
manySessions(file, { sessions: 20, clients: 3, workers: 1 });
