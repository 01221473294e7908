// How long one call of a script keeps Redis, by how many berths one worker has: Redis is nobody else's meanwhile. Each figure is
// Redis' own time for one call, of a worker full of sessions, the longest where a thing takes several calls.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ControlPlane, program } from './control_plane.mjs';
import { table } from './table.mjs';

const run = promisify(execFile);
const CONSTANT = ['ws://127.0.0.1:3001', 'sim', '{}', 'spread'];
const TIMINGS = '{"totalMs":612.5,"networkSetupMs":1.2,"processSpawnMs":9.5,"cdpReadyMs":401.7,"warmupMs":199.9}';

/** Calls scripts until `more` of the answer is false: { longest, sum, calls } in microseconds. */
async function repeated(plane, name, args, more) {
  const result = { longest: 0, sum: 0, calls: 0 };
  for (let reply; ; ) {
    const call = await plane.script(name, ...args(reply));
    reply = call.reply;
    result.calls++;
    result.sum += call.us;
    result.longest = Math.max(result.longest, call.us);
    if (!more(reply)) return { ...result, reply };
  }
}

const audit = (plane) => repeated(plane, 'audit', (last) => [last ? String(last[1]) : '0', '100'], (reply) => String(reply[1]) !== '0');
// A lease of 1 ms: the grace that a first sweep gives is soon over.
const sweep = (plane) => repeated(plane, 'sweep', () => ['1', '100', 'spread'], (reply) => reply[2] === 1);
const register = (plane, id, berths, profile) =>
  repeated(plane, 'register', () => [id, '86400000', String(berths), profile, ...CONSTANT], (reply) => reply[0] === 'not_empty');

function seed(plane, berths, more = []) {
  const size = ['--workers', '1', '--berths', String(berths), '--cell', plane.cell];
  return run(program('floor'), ['--redis', plane.redisUrl, ...size, ...more.map(String)]);
}

async function warm(plane, id, epoch, berths) {
  for (let i = 0; i < berths; i++) {
    const [, berth, turn] = (await plane.script('reserve', id, epoch, 'warm')).reply;
    await plane.script('offer', id, epoch, String(berth), String(turn), 'warm', `${berth}-${'0'.repeat(32)}`, TIMINGS, 'spread');
  }
}

/** One worker of so many berths: a call's longest time for all that touches many of them at once. */
export async function largeWorker(berths) {
  const plane = new ControlPlane();
  try {
    await plane.startRedis();
    const result = { berths };
    await seed(plane, berths, ['--seed', berths, '--prefix', 'old']);
    result.audit = await audit(plane);
    result.replaced = await register(plane, 'old0', berths, 'default');
    await seed(plane, berths, ['--seed', berths, '--prefix', 'lost', '--profile', 'lost']);
    await plane.script('sweep', '1', '1', 'spread');
    await new Promise((done) => setTimeout(done, 10));
    await plane.redis.zadd(plane.key('workers'), 1, 'lost0');
    result.lost = await sweep(plane);
    const { reply } = await register(plane, 'warm0', berths, 'warm');
    await warm(plane, 'warm0', String(reply[1]), berths);
    result.drained = await repeated(plane, 'drain', () => ['warm0', 'drain', '', 'spread'], () => false);
    await seed(plane, 1, ['--seed', 1, '--seed-queue', berths, '--prefix', 'busy', '--profile', 'waited']);
    result.serves = await register(plane, 'new0', berths, 'waited');
    result.served = await sweep(plane);
    await seed(plane, berths, ['--seed', berths, '--prefix', 'due', '--profile', 'due']);
    const due = await plane.redis.zrange(plane.key('deadlines'), 0, -1);
    await plane.redis.zadd(plane.key('deadlines'), ...due.flatMap((id) => [1, id]));
    result.due = await sweep(plane);
    result.findings = (await audit(plane)).reply[3].length;
    for (const part of Object.values(result)) delete part.reply;
    return result;
  } finally {
    await plane.stop();
  }
}

const PARTS = {
  audit: 'audit, slices of 100',
  replaced: 'register, the one before is full',
  lost: 'sweep: its lease is over',
  drained: 'drain, all warm',
  serves: 'register, as many wait',
  served: 'sweep: the rest of them',
  due: 'sweep: all time out at once',
};

export function largeWorkerTable(list) {
  const cell = ({ longest, calls }) => `${Math.round(longest)} (${calls})`;
  const rows = Object.entries(PARTS).map(([part, name]) => [name, ...list.map((point) => cell(point[part]))]);
  return `${table(['longest call, µs (calls)', ...list.map((point) => `${point.berths} berths`)], rows)}`;
}

export const largeWorkerSeries = (list) =>
  Object.entries(PARTS).map(([part, name]) => ({ name, points: list.map((point) => [point.berths, Math.max(1, point[part].longest)]) }));
