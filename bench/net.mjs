// bench/net: what a berth's network costs: made ahead, taken, emptied between two sessions, removed.
//
//   make bench-net             or: node bench/net.mjs [--rounds 200] [--berths 16] [--connections 32] [--out FOLDER] [--quick]
//
// As root. Namespaces, links and rules are real (bench/net.c), in a pool as a worker has it; the program `ip` takes turns with what it
// can do, too. Connections: TCP, to a server of this host, open when the berth is emptied.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BUILD, program } from './lib/control_plane.mjs';
import { writeJson } from './lib/json.mjs';
import { machine } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';
import { rests } from './lib/rest.mjs';
import { table } from './lib/table.mjs';

const opt = readOptions(import.meta.url, {
  rounds: { type: 'string', default: '200' },
  berths: { type: 'string', default: '16' },
  connections: { type: 'string', default: '32' },
  out: { type: 'string', default: join(BUILD, 'net') },
  quick: { type: 'boolean', default: false },
});
if (process.getuid() !== 0) {
  console.error('bench-net: networks are made by root');
  process.exit(1);
}
const rest = rests();
await rest.pause();
const args = ['--rounds', opt.quick ? '20' : opt.rounds, '--berths', opt.berths, '--connections', opt.connections];
const { stdout } = await promisify(execFile)(program('net'), args, { maxBuffer: 1 << 24 });
await rest.pause();
const steps = stdout.trim().split('\n').map((line) => JSON.parse(line));
const result = { machine: machine(), options: opt, steps, others: rest.others() };
const ms = (us) => (us / 1000).toFixed(3);
const peer = new Map(steps.filter(({ way }) => way === 'ip').map(({ step, us }) => [step, us]));
const rows = steps.filter(({ way }) => way === 'berth').map(({ step, us }) => {
  const ip = peer.get(step);
  const name = step === 'emptied, with connections' ? `emptied, with ${opt.connections} connections` : step;
  return [name, ms(us.p50), ms(us.p99), us.n, ip ? ms(ip.p50) : null, ip ? (us.p50 / ip.p50).toFixed(2) : null];
});
console.log(table(["a berth's network, ms", 'p50', 'p99', 'times', 'ip, p50', '× ip'], rows));
writeJson(join(opt.out, 'net.json'), result);
console.log(`\nother programs used ${Math.round(result.others * 100)} % of the machine in between; results in ${opt.out}`);
