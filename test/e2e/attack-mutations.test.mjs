// The process driver's protections, taken away one by one: see attack_mutations.mjs, docs/isolation.md.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mutationSuite } from './attack_mutations.mjs';
import { LIMITS, placeBrowser } from './hostile.mjs';

const skip = process.getuid() !== 0 && 'needs root: berths have no networks or limits of their own otherwise';
const MB = 1024 * 1024;
const [files, core] = execFileSync('bash', ['-c', 'ulimit -Hn; ulimit -Hc']).toString().trim().split('\n');
const v1 = existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes');
const SYS = { ptrace: 101, mount: 165, keyctl: 250, io_setup: 206, process_vm_readv: 310, io_uring_setup: 425, userfaultfd: 323, socket: 41, setresuid: 117 };

const mutations = [
  // the jail's command line
  { name: 'the system call filter', sabotage: 'argv --seccomp => --sync-fd', check: 'privileges', lean: true },
  { name: 'an IPC namespace', sabotage: 'argv --unshare-ipc => ', check: 'memories', lean: true },
  { name: 'PID namespaces (both)', sabotage: 'argv --unshare-pid => \nclone 0x20000000', check: 'seen', lean: true },
  { name: 'a cgroup namespace', sabotage: 'argv --unshare-cgroup-try => ', check: 'names' },
  { name: 'a host name of its own', sabotage: 'argv --unshare-uts => \nargv --hostname berth => ', check: 'names' },
  { name: 'a size for /dev/shm', sabotage: `argv --size ${LIMITS.shmMb * MB} => `, check: 'fillShm', lean: true },
  { name: 'a size for /tmp', sabotage: `argv --size ${LIMITS.tmpMb * MB} => `, check: 'fillTmp', lean: true },
  { name: 'a read-only root', sabotage: 'argv --remount-ro / => ', check: 'writes', lean: true },
  { name: 'a read-only /dev', sabotage: 'argv --remount-ro /dev => ', check: 'writes' },
  { name: 'read-only system files', sabotage: 'argv --ro-bind /usr /usr => --bind /usr /usr', check: 'writes' },
  { name: 'an empty /dev/pts', sabotage: 'argv --tmpfs /dev/pts --remount-ro /dev/pts => ', check: 'writes' },
  { name: 'hiding the machine’s own settings', sabotage: 'argv --tmpfs /usr/local/etc --remount-ro /usr/local/etc => ', check: 'names', when: existsSync('/usr/local/etc') },
  { name: 'hiding the machine’s /var', sabotage: 'argv --dir /run => --dir /run --ro-bind /var /var', check: 'files', lean: true },
  { name: 'hiding /sys', sabotage: 'argv --dir /run => --dir /run --ro-bind /sys /sys', check: 'files' },
  { name: 'a user namespace’s lack of capabilities', sabotage: 'argv --unshare-user => --cap-add ALL --unshare-user', check: 'privileges' },
  // the filter, one system call at a time
  { name: 'the filter of ptrace', sabotage: `filter ${SYS.ptrace}`, check: 'filtered', lean: true },
  { name: 'the filter of mount', sabotage: `filter ${SYS.mount}`, check: 'filtered' },
  { name: 'the filter of keyrings', sabotage: `filter ${SYS.keyctl}`, check: 'syscalls' },
  { name: 'the filter of kernel AIO', sabotage: `filter ${SYS.io_setup}`, check: 'syscalls' },
  { name: 'the filter of reading others’ memory', sabotage: `filter ${SYS.process_vm_readv}`, check: 'filtered' },
  { name: 'the filter of io_uring', sabotage: `filter ${SYS.io_uring_setup}`, check: 'filtered' },
  { name: 'the filter of socket families', sabotage: `filter ${SYS.socket}`, check: 'syscalls', lean: true },
  // the process
  { name: 'a user of its own', sabotage: `syscall ${SYS.setresuid}`, check: 'privileges', lean: true },
  { name: 'a limit on descriptors', sabotage: 'rlimit 7', check: 'descriptors', when: files === 'unlimited' || Number(files) > 9200 },
  { name: 'a limit on core dumps', sabotage: 'rlimit 4', check: 'privileges', when: core !== '0' },
  { name: 'being killed before the worker', sabotage: 'file /oom_score_adj', check: 'privileges' },
  { name: 'a memory limit', sabotage: `file ${v1 ? '/memory.limit_in_bytes' : '/memory.max'}${v1 ? '\nfile /memory.memsw.limit_in_bytes' : ''}`, check: 'memory', lean: true },
  { name: 'a limit on processes', sabotage: 'file /pids.max', check: 'forks', lean: true },
  { name: 'a limit on CPU time', sabotage: `file ${v1 ? '/cpu.cfs_quota_us' : '/cpu.max'}`, check: 'cpu', lean: true },
  // the network
  { name: 'the refusal of what is not public', sabotage: 'text @not_public goto refuse => @not_public accept', check: 'reach', lean: true },
  { name: 'the link-local range among it', sabotage: 'text 169.254.0.0/16,  => ', check: 'reach' },
  { name: 'the shared range among it', sabotage: 'text 100.64.0.0/10,  => ', check: 'reach' },
  { name: 'the refusal of the host', sabotage: 'text input_0 goto refuse => input_0 accept', check: 'reach', lean: true },
  { name: 'the refusal of other berths', sabotage: 'text goto refuse\\n    oifname "bth*" goto refuse => accept', check: 'reach', victim: true },
  { name: 'the refusal of what comes in', sabotage: 'text established,related accept\\n    drop => established,related accept\\n    accept', check: 'entered' },
  { name: 'the rule for the debugging port', sabotage: 'text dport 9222 meta skuid => dport 9 meta skuid', check: 'reach', lean: true },
];

mutationSuite({ driver: 'process', skip, mutations, prepare: ({ dir }) => ({ browser: placeBrowser(dir) }) });
