// Many connections to simulated browsers through one gateway: what an idle one costs, and how evenly busy ones are served. Clients
// (bench/cdp_load.c) are processes of their own; the simulated browsers are in the worker's process, so that its memory has both
// ends of each connection, and three of its descriptors.
import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { ControlPlane, cpuSeconds, measured, memoryKb, program } from './control_plane.mjs';

const ON_A_BROWSER = 50; // the simulated browser takes 64

export async function create(plane) {
  const response = await fetch(`http://127.0.0.1:${plane.port}/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"keepAlive":true,"idleTimeoutSec":0}',
  });
  const body = await response.json();
  if (response.status !== 201) throw new Error(`create answered ${response.status}: ${JSON.stringify(body)}`);
  return body;
}

/** How many connections the limit of open files allows; says so where it is fewer. */
export function allowed(wanted) {
  const limit = Number(execFileSync('bash', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim()) || Infinity;
  const most = Math.floor((limit - 500) / 3);
  if (most < wanted) console.log(`this machine allows ${limit} descriptors a process: ${most} idle connections instead of ${wanted}`);
  return Math.min(wanted, most);
}

/** A plane with sessions enough, and a URL for each connection. */
async function simulated(connections, onABrowser = ON_A_BROWSER) {
  const plane = new ControlPlane();
  try {
    await plane.startRedis();
    await plane.startApi();
    const berths = Math.ceil(connections / onABrowser);
    await plane.startWorkers({ workers: 1, berths, warm: berths });
    const sessions = [];
    while (sessions.length < berths) sessions.push((await create(plane)).connectUrl);
    return { plane, urls: Array.from({ length: connections }, (_, i) => sessions[i % berths]) };
  } catch (error) {
    await plane.stop();
    throw error;
  }
}

function client(urls) {
  const child = spawn(program('cdp_load'), ['--idle'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((done) => child.once('exit', done));
  const connected = (async () => {
    for await (const line of createInterface({ input: child.stdout })) if (line === 'connected') return;
    throw new Error('cdp_load could not connect');
  })();
  child.stdin.write(`${urls.join('\n')}\n\n`);
  return { connected, end: () => (child.stdin.end(), ended) };
}

/** Memory by number of idle connections, in steps up to `connections`; bytes of each are the slope from the first step to the last. */
export async function idle(connections, rest) {
  const { plane, urls } = await simulated(connections);
  const clients = [];
  try {
    const [worker] = plane.workers;
    const steps = [{ connections: 0, kb: memoryKb(worker.pid) }];
    for (const part of [0.25, 0.5, 0.75, 1]) {
      const from = steps.at(-1).connections;
      const to = Math.round(part * connections);
      clients.push(client(urls.slice(from, to)));
      await clients.at(-1).connected;
      await rest.pause();
      steps.push({ connections: to, kb: memoryKb(worker.pid) });
    }
    const cpu = cpuSeconds(worker.pid);
    const begun = performance.now();
    await new Promise((done) => setTimeout(done, 3000));
    const share = ((cpuSeconds(worker.pid) - cpu) / (performance.now() - begun)) * 1000;
    const [first, last] = [steps[1], steps.at(-1)];
    const bytesEach = ((last.kb - first.kb) * 1024) / (last.connections - first.connections);
    const at10000Kb = last.kb + ((10000 - last.connections) * bytesEach) / 1024;
    return { connections, steps, bytesEach, at10000Kb, cpuShare: share };
  } finally {
    await Promise.all(clients.map((c) => c.end()));
    await plane.stop();
  }
}

/** Round trips of so many sessions at once, one connection each: how many each got. */
export async function busy(sessions, seconds, rest) {
  const { plane, urls } = await simulated(sessions, 1);
  try {
    await rest.pause();
    const args = ['--seconds', String(Math.max(2, seconds))];
    const result = await measured(plane, [program('cdp_load'), ...args], { input: `${urls.join('\n')}\n\n` });
    return { ...result, workerUs: (result.used.worker / result.trips) * 1e6 };
  } finally {
    await plane.stop();
  }
}
