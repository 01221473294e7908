// bench/restore: what a browser out of a snapshot costs: from nothing, from a process that waits, from a paused clone; the
// guest's memory. A process jail is beside it: its browser started, and its warm one claimed.
//
//   make bench-restore         or: node bench/restore.mjs [--rounds 15] [--memory 512] [--accel tcg] [--out FOLDER] [--quick]
//
// As root; makes the image (scripts/image) where there is none. Each kind of start is a worker and profile of its own, all up together
// over one snapshot; a round takes one session of each, in an order that changes, and waits until the machine rests in between. The
// steps are the session's own launchTimings. Memory of a clone that nobody has used is what it does not share with the snapshot (smaps,
// Anonymous), and how much of that is the guest's, and is code that QEMU has translated (which KVM has none of); that of the template
// when it had booted is all of it (Rss).
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { Cdp } from '../test/e2e/cdp.mjs';
import { IMAGE, needImage, noQemu } from '../test/e2e/microvm_needs.mjs';
import { waitFor } from '../test/e2e/program.mjs';
import { BUILD, ControlPlane } from './lib/control_plane.mjs';
import { writeJson } from './lib/json.mjs';
import { below, machine } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';
import { progress } from './lib/progress.mjs';
import { rests } from './lib/rest.mjs';
import { median, round } from './lib/stats.mjs';
import { table } from './lib/table.mjs';

const SLOW = 600000; // a template's boot without KVM
const opt = readOptions(import.meta.url, {
  rounds: { type: 'string', default: '15' },
  memory: { type: 'string', default: '512' },
  accel: { type: 'string', default: 'tcg' },
  out: { type: 'string', default: join(BUILD, 'restore') },
  quick: { type: 'boolean', default: false },
});

// Cold kinds start a browser for each session; warm kinds have one that waits.
const VM = { BERTH_VM_RENDERER: 'keep', BERTH_VM_READY: 1 };
const KINDS = [
  { name: 'exec', what: 'process started, snapshot loaded', env: { ...VM, BERTH_VM_READY: 0 } },
  { name: 'load', what: 'process waiting, prefetch on', env: VM },
  { name: 'noprefetch', what: 'process waiting, prefetch off', env: { ...VM, BERTH_VM_PREFETCH: 'off' } },
  { name: 'fresh', what: 'process waiting, new renderer', env: { ...VM, BERTH_VM_RENDERER: 'fresh' } },
  { name: 'start', what: 'process jail, browser started', env: { BERTH_DRIVER: 'process' } },
  { name: 'paused', what: 'paused clone', warm: 1, env: { ...VM, BERTH_VM_WARM: 'paused' } },
  { name: 'running', what: 'running clone', warm: 1, env: VM },
  { name: 'renewed', what: 'running clone, new renderer', warm: 1, env: { ...VM, BERTH_VM_RENDERER: 'fresh' } },
  { name: 'jail', what: 'process jail', warm: 1, env: { BERTH_DRIVER: 'process' } },
];
const STEPS = ['processSpawnMs', 'configureMs', 'cdpReadyMs', 'guestEntropyMs', 'guestClockMs', 'guestIdentityMs', 'guestNetworkMs', 'guestRendererMs', 'guestCdpMs', 'totalMs'];

const GUEST = /berth-guest/; // its memory: a private mapping of the snapshot's (worker/snapshot_load.c)
const TRANSLATED = / rwxp /;

/** MB of a process's memory, by a line of its mappings; of those alone whose first line a pattern matches. 0 when it is gone. */
function memoryMb(pid, line, pattern = /./) {
  let kb = 0;
  try {
    let counts = false;
    for (const text of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
      if (/^[0-9a-f]+-[0-9a-f]+ /.test(text)) counts = pattern.test(text);
      else if (counts && text.startsWith(`${line}:`)) kb += Number(/\d+/.exec(text)[0]);
    }
  } catch {
    return 0;
  }
  return kb / 1024;
}

/** The monitors below a worker. */
function machines(worker) {
  const command = (pid) => (existsSync(`/proc/${pid}/comm`) ? readFileSync(`/proc/${pid}/comm`, 'utf8') : '');
  return below(worker.pid).filter((pid) => command(pid).startsWith('qemu'));
}

const bootedMbOf = (worker) => Math.max(0, ...machines(worker).map((pid) => memoryMb(pid, 'Rss')));

/** Of the machine with most memory of its own: it is the warm one, another may wait for its snapshot. */
function ownMb(worker) {
  const all = machines(worker).map((pid) => ({ own: memoryMb(pid, 'Anonymous'), guest: memoryMb(pid, 'Anonymous', GUEST), translated: memoryMb(pid, 'Anonymous', TRANSLATED) }));
  return all.sort((a, b) => b.own - a.own)[0] ?? { own: 0, guest: 0, translated: 0 };
}

if (noQemu()) {
  console.error(`bench-restore: ${noQemu()}`);
  process.exit(1);
}
needImage();
const rounds = opt.quick ? 2 : Number(opt.rounds);
const state = mkdtempSync(join(tmpdir(), 'berth-bench-vm-'));
const plane = new ControlPlane();
const rest = rests();
const api = (method, path, body) =>
  fetch(`http://127.0.0.1:${plane.port}${path}`, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });

async function startKind(kind) {
  const profiles = join(state, `${kind.name}.json`);
  const driver = kind.env.BERTH_DRIVER ?? 'qemu';
  writeFileSync(profiles, JSON.stringify({ profiles: [{ name: kind.name, driver, warm: kind.warm ?? 0, memoryMb: Number(opt.memory), cpus: 2 }] }));
  const dir = join(state, 'state');
  mkdirSync(dir, { recursive: true });
  const registered = () => plane.redis.zcard(plane.key('workers'));
  const before = await registered();
  kind.worker = await plane.startWorkers({
    workers: 0,
    berths: 1,
    warm: 0,
    settings: {
      BERTH_SIM_WORKERS: 1,
      BERTH_DRIVER: driver,
      BERTH_STATE: dir,
      BERTH_IMAGE: IMAGE,
      BERTH_VM_ACCEL: opt.accel,
      BERTH_PROFILES: profiles,
      BERTH_START_PARALLEL: 1,
      ...kind.env,
    },
  });
  await waitFor(async () => (await registered()) > before, { what: `the worker of ${kind.name}`, timeout: SLOW });
}

/** One session of a kind: its times in ms. Warm kinds wait for their browser and for rest first. */
async function session(kind) {
  if (kind.warm) await waitFor(async () => (await plane.redis.zcard(plane.key(`warm:${kind.name}`))) > 0, { what: `a warm ${kind.name}`, timeout: SLOW, every: 50 });
  await rest.pause();
  if (kind.warm && kind.name !== 'jail') kind.memory = [...(kind.memory ?? []), ownMb(kind.worker)];
  const from = performance.now();
  const answer = await api('POST', '/v1/sessions', { runtimeProfile: kind.name });
  const created = await answer.json();
  const create = performance.now() - from;
  if (answer.status !== 201) throw new Error(`create of ${kind.name}: ${answer.status} ${JSON.stringify(created)}`);
  const cdp = await Cdp.open(created.connectUrl);
  await cdp.send('Browser.getVersion');
  const answered = performance.now() - from;
  const { launchTimings } = await (await api('GET', `/v1/sessions/${created.id}`)).json();
  cdp.drop();
  await api('DELETE', `/v1/sessions/${created.id}`);
  await waitFor(async () => (await (await api('GET', `/v1/sessions/${created.id}`)).json()).state === 'ended', { what: 'the end', timeout: SLOW, every: 50 });
  return { create, answered, ...(kind.warm ? {} : launchTimings) };
}

/** The template's own memory, biggest while it boots. */
async function buildSnapshot(kind) {
  let booted = 0;
  let built = false;
  const looking = (async () => {
    while (!built) {
      if (kind.worker) booted = Math.max(booted, bootedMbOf(kind.worker));
      await after(500);
    }
  })();
  await startKind(kind);
  await session(kind);
  built = true;
  await looking;
  return booted;
}

try {
  await plane.startRedis();
  await plane.startApi({ BERTH_START_TIMEOUT: '600s', BERTH_QUEUE_WAIT: '600s' });
  const running = KINDS.find((kind) => kind.name === 'running');
  const bootedMb = await buildSnapshot(running);
  for (const kind of KINDS.filter((k) => k !== running)) await startKind(kind);
  for (const kind of KINDS) await session(kind); // not counted: working sets are recorded, files are read
  const bar = progress(rounds);
  for (let i = 0; i < rounds; i++) {
    const turn = KINDS.map((_, n) => KINDS[(n + i) % KINDS.length]);
    for (const kind of turn) (kind.rows ??= []).push(await session(kind));
    bar.step(i + 1, 'rounds');
  }
  bar.done();
  const typical = (kind, name) => median(kind.rows.map((row) => row[name]).filter((v) => v !== undefined));
  const cell = (value) => (value === null ? null : round(value, 1));
  const cold = KINDS.filter((kind) => !kind.warm);
  const warm = KINDS.filter((kind) => kind.warm);
  const ratio = (value, base) => (value / base).toFixed(2);
  const [started, claimed] = ['start', 'jail'].map((name) => KINDS.find((kind) => kind.name === name));
  console.log(`${opt.accel}, ${opt.memory} MB guests; medians of ${rounds}\n`);
  const steps = (kind) => [...STEPS.map((s) => cell(typical(kind, s))), ratio(typical(kind, 'totalMs'), typical(started, 'totalMs'))];
  console.log(table(['to CDP, ms', ...STEPS.map((s) => s.replace('Ms', '')), '× jail'], cold.map((kind) => [kind.what, ...steps(kind)])));
  const rows = warm.map((kind) => {
    const own = (part) => (kind.memory ? median(kind.memory.map((m) => m[part])) : null);
    const share = kind.memory ? `${round((100 * own('own')) / bootedMb, 1)} %` : null;
    const create = typical(kind, 'create');
    const times = [cell(create), ratio(create, typical(claimed, 'create')), cell(median(kind.rows.map((r) => r.answered - r.create)))];
    return [kind.what, ...times, cell(own('own')), share, cell(own('guest')), cell(own('translated'))];
  });
  const memory = ['own MB while idle', 'of booted', "the guest's", 'translated code'];
  console.log(`\n${table(['warm, ms', 'create', '× jail', 'from there to CDP', ...memory], rows)}`);
  console.log(`\na cold-booted machine of that size has ${Math.round(bootedMb)} MB of its own`);
  const kinds = KINDS.map(({ name, what, rows: all, memory }) => ({ name, what, rows: all, memory }));
  writeJson(join(opt.out, 'restore.json'), { machine: machine(), options: opt, bootedMb, kinds, others: rest.others() });
  console.log(`\nother programs used ${Math.round(rest.others() * 100)} % of the machine in between; results in ${opt.out}`);
} finally {
  await plane.stop();
  rmSync(state, { recursive: true, force: true });
}
