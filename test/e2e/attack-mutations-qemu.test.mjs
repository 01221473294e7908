// QEMU's jail: what a guest that escaped into its machine monitor gets at, and the jail's protections, taken away one by one: see
// attack_mutations.mjs, docs/isolation.md. The saboteur puts the hostile program into the jail and in QEMU's place; it becomes QEMU, with
// the agent beside it. A monitor that waits for a snapshot is enough for that: the file boots one guest, for the snapshot, and restores none.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { mutationSuite } from './attack_mutations.mjs';
import { placeBrowser } from './hostile.mjs';
import { needImage, noQemu, microvmState } from './microvm_needs.mjs';

const QEMU = '/usr/bin/qemu-system-x86_64';
const MONITOR = 'hostile-qemu';
const PROFILE = { memoryMb: 512, cpus: 1.5 };
const TCG_MB = 128;
const LIMITS = { memoryMb: PROFILE.memoryMb + TCG_MB + 160, pids: 128, cpus: PROFILE.cpus, files: 1024 }; // what the driver gives a monitor

const skip = noQemu() || (!existsSync(QEMU) && `there is no ${QEMU}, which the hostile program becomes`);
const files = execFileSync('bash', ['-c', 'ulimit -Hn']).toString().trim();
const v1 = existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes');
const SYS = { setresuid: 117 };
const F_ADD_SEALS = 1033;

const mutations = [
  // the jail's command line
  { name: 'an IPC namespace', sabotage: 'argv --unshare-ipc => ', check: 'memories', lean: true },
  { name: 'PID namespaces (both)', sabotage: 'argv --unshare-pid => \nclone 0x20000000', check: 'seen' },
  { name: 'a cgroup namespace', sabotage: 'argv --unshare-cgroup-try => ', check: 'names' },
  { name: 'a host name of its own', sabotage: 'argv --unshare-uts => \nargv --hostname berth => ', check: 'names' },
  { name: 'a read-only root', sabotage: 'argv --remount-ro / => ', check: 'writes', lean: true },
  { name: 'a read-only /dev', sabotage: 'argv --remount-ro /dev => ', check: 'writes' },
  { name: 'an empty /dev/pts', sabotage: 'argv --tmpfs /dev/pts --remount-ro /dev/pts => ', check: 'writes' },
  { name: 'read-only system files', sabotage: 'argv --ro-bind /usr /usr => --bind /usr /usr', check: 'writes' },
  { name: 'hiding the machine’s /var', sabotage: 'argv --dev /dev => --dev /dev --ro-bind /var /var', check: 'files' },
  { name: 'a user namespace’s lack of capabilities', sabotage: 'argv --unshare-user => --cap-add ALL --unshare-user', check: 'privileges' },
  // what it is started with
  { name: 'the sealing of the snapshot’s memory', sabotage: `fcntl ${F_ADD_SEALS}`, check: 'held', lean: true },
  // the process
  { name: 'a user of its own', sabotage: `syscall ${SYS.setresuid}`, check: 'privileges', lean: true },
  { name: 'a limit on descriptors', sabotage: 'rlimit 7', check: 'descriptors', when: files === 'unlimited' || Number(files) > LIMITS.files + 1000 },
  { name: 'being killed before the worker', sabotage: 'file /oom_score_adj', check: 'privileges' },
  { name: 'a memory limit', sabotage: `file ${v1 ? '/memory.limit_in_bytes' : '/memory.max'}${v1 ? '\nfile /memory.memsw.limit_in_bytes' : ''}`, check: 'memory' },
  { name: 'a limit on processes', sabotage: 'file /pids.max', check: 'forks', lean: true },
  { name: 'a limit on CPU time', sabotage: `file ${v1 ? '/cpu.cfs_quota_us' : '/cpu.max'}`, check: 'cpu' },
  // the network: what a guest sends is judged by the same rules
  { name: 'the refusal of what is not public', sabotage: 'text @not_public goto refuse => @not_public accept', check: 'reach', lean: true },
  { name: 'the refusal of the host', sabotage: 'text input_0 goto refuse => input_0 accept', check: 'reach' },
  { name: 'the refusal of other berths', sabotage: 'text goto refuse\\n    oifname "bth*" goto refuse => accept', check: 'reach', victim: true },
  { name: 'the refusal of what comes in', sabotage: 'text established,related accept\\n    drop => established,related accept\\n    accept', check: 'entered' },
];

function prepare({ dir }, scope) {
  needImage();
  const { BERTH_IMAGE, BERTH_STATE } = microvmState(scope, 'attack-mutations-qemu');
  const folder = dirname(placeBrowser(dir, MONITOR));
  return {
    profile: PROFILE,
    limits: LIMITS,
    placing: [`argv --proc /proc => --ro-bind ${folder} /hostile --proc /proc`, `argv -- ${QEMU} => -- /hostile/${MONITOR}`],
    env: (berths) => ({
      BERTH_IMAGE,
      BERTH_STATE: process.env.BERTH_E2E_STATE ?? BERTH_STATE, // with snapshots from another run, to save their making
      BERTH_QEMU: QEMU,
      BERTH_VM_ACCEL: 'tcg',
      BERTH_VM_TCG_MB: TCG_MB,
      BERTH_WARM: 0,
      BERTH_VM_READY: berths,
    }),
  };
}

// All that make sense for a monitor. Of system calls it is QEMU's own -sandbox that forbids some, after its start: not here to be seen.
const checks = ['reach', 'entered', 'unix', 'files', 'writes', 'held', 'names', 'memories', 'seen', 'privileges', 'cpu', 'descriptors', 'forks', 'memory'];

const first = (worker) => worker.logged(/snapshot_ready\b/, 600000);

mutationSuite({ driver: 'qemu', skip, timeout: 900000, mutations, prepare, first, checks });
