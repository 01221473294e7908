// The attack suite over the qemu driver: one template, and few clones of it, under TCG so that it runs anywhere.
import { attackSuite } from './attack.mjs';
import { needImage, noQemu, microvmState } from './microvm_needs.mjs';

attackSuite({
  driver: 'qemu',
  skip: noQemu(),
  guest: true,
  berths: 2,
  profile: { cpus: 2 },
  api: { BERTH_START_TIMEOUT: '300s' },
  env(scope) {
    needImage();
    const state = microvmState(scope, 'attack-qemu');
    if (process.env.BERTH_E2E_STATE) state.BERTH_STATE = process.env.BERTH_E2E_STATE; // with snapshots from another run, to save their making
    return { ...state, BERTH_VM_ACCEL: 'tcg', BERTH_START_PARALLEL: 1, BERTH_VM_READY: 1 };
  },
});
