// The firecracker driver for real: BERTH_FIRECRACKER and BERTH_JAILER say where the programs are, KVM has to work, and the image is
// the one of scripts/image. The suite that all drivers pass and the one of all microVMs. Without them firecracker_fake.test.mjs
// shows what can be shown.
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { driverFile } from './driver_file.mjs';
import { driverSuite } from './driver_suite.mjs';
import { manySessions } from './many_sessions.mjs';
import { needImage, noGuests, microvmState } from './microvm_needs.mjs';
import { microvmSuite } from './microvm_suite.mjs';

const programs = { BERTH_FIRECRACKER: process.env.BERTH_FIRECRACKER, BERTH_JAILER: process.env.BERTH_JAILER };

function missing() {
  for (const [name, path] of Object.entries(programs)) {
    if (!path) return `${name} does not say where Firecracker is`;
    if (!existsSync(path)) return `${name}: there is no ${path}`;
  }
  const reason = noGuests();
  if (reason) return reason;
  try {
    closeSync(openSync('/dev/kvm', 'r+'));
  } catch (error) {
    return `KVM does not work here: ${error.message}`;
  }
  return false;
}

let state;

const file = driverFile({
  driver: 'firecracker',
  skip: missing(),
  budget: 90000,
  start: 180000,
  browser: /^firecracker/,
  prepare(scope) {
    needImage();
    state = microvmState(scope, 'fc');
  },
  env: () => ({ ...programs, ...state }),
  traces: () => ({ folders: [join(state.BERTH_STATE, 'jails')] }),
});

driverSuite(file);
microvmSuite(file, { state: () => state.BERTH_STATE, misfit: (text) => text.replace(/firecracker \d+\./, 'firecracker 0.') });
manySessions(file, { sessions: 20, clients: 3, workers: 1 });
