// Whether the attack suite can fail: each protection is taken away by itself (test/hostile/saboteur.c, preloaded into a worker), and
// the check that is to prove it must find something wrong. With nothing taken away the same checks find nothing.
//
// A mutation: { name, sabotage, check, lean }. lean: it runs in `make check`; BERTH_MUTATIONS=all runs every one.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startStack, fileScope, BUILD } from './harness.mjs';
import { Agent, LIMITS, look } from './hostile.mjs';
import { startTargets, INSIDE_PORT } from './attack_targets.mjs';

const SABOTEUR = join(BUILD, 'test/hostile/saboteur.so');
const whole = process.env.BERTH_MUTATIONS === 'all';

/** prepare(targets, scope): { browser, profile, env(berths), placing, limits }. profile: what the browsers have, LIMITS by default;
 * env: a worker's settings for so many agents; placing: sabotage that is no mutation, where the agent takes some; limits: what the
 * checks expect, if it is not the profile. first(worker): what has to be there ahead of the tests, made by a worker
 * that is whole. checks: more that find nothing with everything in place; timeout: of a
 * test, the first one's with what has to be there. */
export function mutationSuite({ driver, skip, mutations, prepare, first, checks = [], timeout = 300000 }) {
  const scope = fileScope();
  let targets, stack, env, placing, limits;

  before(async () => {
    if (skip) return;
    targets = await startTargets(scope);
    const given = await prepare(targets, scope);
    const profiles = join(targets.dir, 'profiles.json');
    writeFileSync(profiles, JSON.stringify({ profiles: [{ ...(given.profile ?? LIMITS), driver, name: 'default', browser: given.browser }] }));
    stack = await startStack(scope, { apis: 0, workers: [] });
    env = (berths) => ({ BERTH_DRIVER: driver, BERTH_PROFILES: profiles, BERTH_BERTHS: berths, BERTH_WARM: berths, ...given.env?.(berths) });
    ({ placing = [], limits } = given);
    if (first) await withWorker(env(1), first);
  });

  /** A worker for as long as work(worker) takes. Everything of it is gone afterwards. what: for messages. */
  async function withWorker(settings, work, what = 'that was whole') {
    const before = stack.workers.length;
    const added = stack.addWorker({ ready: { timeout: 180000 }, env: settings });
    const worker = stack.workers[before];
    try {
      await added;
      return await work(worker);
    } finally {
      const { forced } = await worker.term(60000);
      const left = await worker.left({ timeout: 60000 });
      stack.workers.splice(before, 1);
      worker.slot.free();
      assert.ok(!forced && left.length === 0, `a worker ${what} left ${left.join('; ')}`);
    }
  }

  /** What the named checks find in a berth of a worker that was sabotaged so. */
  async function find({ sabotage = '', checks, victim = false }) {
    const log = join(targets.dir, 'sabotage.log');
    writeFileSync(log, '');
    chmodSync(log, 0o666);
    const instructions = [sabotage, ...placing].filter(Boolean).join('\n');
    const preload = { LD_PRELOAD: SABOTEUR, HOSTILE_SABOTAGE: instructions, HOSTILE_SABOTAGE_LOG: log };
    const work = async (worker) => {
      // Warm browsers may be given up on a busy machine, and come again: both are looked for anew.
      const renew = async () => {
        if (victim) await (await Agent.find(worker, 1)).order('listen', INSIDE_PORT);
        return context(await Agent.find(worker, 0));
      };
      const context = (agent) => ({ agent, targets, worker, driver, stack, victim: victim ? 1 : undefined, ...(limits && { limits }) });
      const found = {};
      for (const name of checks) found[name] = await look(name, renew);
      return { found, followed: new Set(readFileSync(log, 'utf8').trim().split('\n')) };
    };
    return withWorker({ ...env(victim ? 2 : 1), ...preload }, work, `sabotaged by ${sabotage}`);
  }

  const chosen = mutations.filter(({ lean, when = true }) => when && (whole || lean));

  test(`${driver}: with everything in place the checks find nothing`, { skip, timeout }, async (t) => {
    const { found } = await find({ checks: [...new Set([...checks, ...chosen.map(({ check }) => check)])], victim: true });
    for (const [name, problems] of Object.entries(found)) assert.deepEqual(problems, [], name);
    t.diagnostic(`${chosen.length} of ${mutations.length} protections are taken away${whole ? '' : '; BERTH_MUTATIONS=all: every one'}`);
  });

  for (const { name, sabotage, check, victim } of chosen) {
    test(`${driver}: without ${name} the suite notices`, { skip, timeout }, async (t) => {
      const { found, followed } = await find({ sabotage, checks: [check], victim });
      const never = sabotage.split('\n').filter((_, i) => !followed.has(String(i)));
      assert.deepEqual(never, [], 'never done: the product has changed');
      assert.notDeepEqual(found[check], [], `${check} found nothing`);
      t.diagnostic(`${check}: ${found[check].slice(0, 2).join('; ')}${found[check].length > 2 ? ` and ${found[check].length - 2} more` : ''}`);
    });
  }
}
