// The docker driver's protections, taken away one by one: see attack_mutations.mjs, docs/isolation.md. The network's rules are the
// process driver's.
import { startEngine } from './engine.mjs';
import { mutationSuite } from './attack_mutations.mjs';
import { hostileImage } from './hostile_image.mjs';
import { LIMITS } from './hostile.mjs';

const engine = await startEngine();

const mutations = [
  { name: 'a user of its own', sabotage: 'member User', check: 'privileges' },
  { name: 'dropping capabilities', sabotage: 'member CapDrop', check: 'privileges', lean: true },
  { name: 'no-new-privileges', sabotage: 'item no-new-privileges', check: 'privileges', lean: true },
  { name: 'a read-only root', sabotage: 'member ReadonlyRootfs', check: 'writes', lean: true },
  { name: 'masked paths', sabotage: 'member MaskedPaths => []', check: 'files', lean: true },
  { name: 'a private IPC namespace', sabotage: 'member IpcMode => "host"', check: 'memories' },
  { name: 'a private cgroup namespace', sabotage: 'member CgroupnsMode => "host"', check: 'names' },
  { name: 'a memory limit', sabotage: 'member Memory\nmember MemorySwap', check: 'memory', lean: true },
  { name: 'a limit on processes', sabotage: 'member PidsLimit', check: 'forks', lean: true },
  { name: 'a limit on CPU time', sabotage: 'member CpuQuota', check: 'cpu' },
  { name: 'limits on descriptors and core dumps', sabotage: 'member Soft => 16384\nmember Hard => 16384', check: 'privileges' },
  { name: 'being killed before the worker', sabotage: 'member OomScoreAdj', check: 'privileges' },
  { name: 'a size for /tmp', sabotage: `text ,size=${LIMITS.tmpMb}m => `, check: 'fillTmp' },
  { name: 'a size for /dev/shm', sabotage: 'member ShmSize => 268435456', check: 'fillShm', lean: true },
  { name: 'the list of system calls', sabotage: 'text "defaultAction": "SCMP_ACT_ERRNO" => "defaultAction": "SCMP_ACT_ALLOW"', check: 'filtered', lean: true },
  { name: 'the list of namespaces', sabotage: 'text 235012096 => 0', check: 'namespaces' },
  { name: 'the list of socket families', sabotage: 'text "op": "SCMP_CMP_EQ", "value": 1} => "op": "SCMP_CMP_GE", "value": 1}', check: 'syscalls' },
  { name: 'the refusal of what is not public', sabotage: 'text @not_public goto refuse => @not_public accept', check: 'reach' },
];

async function prepare({ dir }, scope) {
  const { browser, env } = await hostileImage(engine, dir, scope);
  return { browser, env: () => env };
}

mutationSuite({ driver: 'docker', skip: engine.reason, mutations, prepare });
