// What the worker's own tests share: real Redis, simulated browsers, and the test in the API's place, calling the assembled scripts.
// After each test the harness audits Redis and looks for what was left on the host.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { startStack, waitFor } from './harness.mjs';

const FAST = { BERTH_SIM_START: '20ms', BERTH_LEASE: '8s', BERTH_CONNECT_TIMEOUT: '60s', BERTH_PRESSURE_CPU: '1000' };

/** A worker (or several) and a Redis, without an API; sweep runs as an API replica would run it. */
export async function start(t, env = {}, { sweep = true, redis, workers = [{}], ...options } = {}) {
  const stack = await startStack(t, { apis: 0, workers, redis, env: { ...FAST, ...env }, ...options });
  if (sweep) {
    const lease = parseInt(stack.env.BERTH_LEASE, 10) * 1000;
    const timer = setInterval(() => stack.script('sweep', lease, 100, 'spread').catch(() => {}), 200);
    t.after(() => clearInterval(timer));
  }
  return stack;
}

const newId = () => `c0-${Array.from(randomBytes(24), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte & 31]).join('')}`;

/** Admits a session as the API would: its fields. */
export async function admit(stack, { timeout = 300000, idle = 0, keepAlive = 1, wait = 60000, profile = 'default' } = {}) {
  const id = newId();
  const reply = await stack.script('admit', id, 'default', profile, timeout, idle, keepAlive, wait, 60000, 'spread', 0, 1000, 1000, '', '', '');
  assert.equal(reply[0], 'ok', reply.join(' '));
  return stack.session(id);
}

export const release = (stack, id, reason = 'released') => stack.script('release', id, '', reason, '', '');

/** Waits until the session is in this state; its fields. */
export function state(stack, id, want, timeout = 90000) {
  return waitFor(
    async () => {
      const session = await stack.session(id);
      return session.state === want && session;
    },
    { timeout, what: `${id} to be ${want}` },
  );
}

const counts = async (stack, i = 0) => {
  const w = await stack.redis.hgetall(stack.key(`worker:${stack.workers[i].id}`));
  return Object.fromEntries(['free', 'starting', 'warm', 'taken', 'cleaning'].map((name) => [name, Number(w[name])]));
};

/** The worker's berths are as many in these states as said. */
export function settled(stack, want, i = 0) {
  return waitFor(
    async () => {
      const have = await counts(stack, i);
      return Object.entries(want).every(([name, n]) => have[name] === n);
    },
    { what: `worker ${i} to have ${JSON.stringify(want)}` },
  );
}

export const epoch = async (stack, i = 0) => Number(await stack.redis.hget(stack.key(`worker:${stack.workers[i].id}`), 'epoch'));
export const jobsLeft = (stack, i = 0) => stack.redis.xlen(stack.key(`jobs:${stack.workers[i].id}`));

/** Puts a job into a worker's stream as the scripts do. */
export const addJob = (stack, fields) => stack.redis.xadd(stack.key(`jobs:${stack.workers[0].id}`), '*', ...Object.entries(fields).flat().map(String));
