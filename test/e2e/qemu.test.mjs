// The qemu driver for real: QEMU (under TCG, so anywhere), the real image, real guests; the suite that all drivers pass and the one
// of all microVMs. A snapshot is built once for the file, in a state folder of its own.
// Under TCG everything in a guest is slow: waits are long, and browsers few.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startStack } from './harness.mjs';
import { driverFile } from './driver_file.mjs';
import { driverSuite } from './driver_suite.mjs';
import { manySessions } from './many_sessions.mjs';
import { needImage, noQemu, microvmState } from './microvm_needs.mjs';
import { microvmSuite } from './microvm_suite.mjs';

let state;

const file = driverFile({
  driver: 'qemu',
  skip: noQemu(),
  budget: 180000,
  start: 600000, // a template and a clone, without KVM and with neighbours
  browser: /^qemu/,
  api: { BERTH_START_TIMEOUT: '300s' },
  prepare(scope) {
    needImage();
    state = microvmState(scope, 'qemu');
  },
  env: () => ({ ...state, BERTH_VM_ACCEL: 'tcg', BERTH_START_PARALLEL: 1 }),
});

driverSuite(file);
microvmSuite(file, { state: () => state.BERTH_STATE, misfit: (text) => text.replace(/qemu (\d+)\./, 'qemu 1.') });

test('qemu: an accelerator that boots nothing is tried once', file.test, async (t) => {
  const other = await startStack(t, { wait: false, env: file.api, workers: [{ env: file.workerEnv({ BERTH_VM_ACCEL: 'auto', BERTH_BERTHS: 1 }) }] });
  const [worker] = other.workers;
  await file.warm(1, worker);
  if (!worker.log.some((line) => /accelerator_refused/.test(line))) return t.diagnostic('KVM works here');
  await worker.term();
  await worker.start();
  await worker.logged(/accelerator_skipped accel=kvm/, file.budget);
  await file.warm(1, worker);
  assert.ok(!worker.log.some((line) => /accelerator_refused/.test(line)), 'it was tried again');
});

manySessions(file, { sessions: 6, clients: 2, workers: 1 });
