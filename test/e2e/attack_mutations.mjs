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

/** prepare(targets): { browser, env }; extra: more of the profile. */
export function mutationSuite({ driver, skip, mutations, prepare }) {
  const scope = fileScope();
  let targets, stack, env;

  before(async () => {
    if (skip) return;
    targets = await startTargets(scope);
    const { browser, env: more } = await prepare(targets, scope);
    const profiles = join(targets.dir, 'profiles.json');
    writeFileSync(profiles, JSON.stringify({ profiles: [{ ...LIMITS, driver, name: 'default', browser }] }));
    stack = await startStack(scope, { apis: 0, workers: [] });
    env = { BERTH_DRIVER: driver, BERTH_PROFILES: profiles, BERTH_WARM: 1, ...more };
  });

  /** What the named checks find in a berth of a worker that was sabotaged so. Everything of it is gone afterwards. */
  async function find({ sabotage = '', checks, victim = false }) {
    const log = join(targets.dir, 'sabotage.log');
    writeFileSync(log, '');
    chmodSync(log, 0o666);
    const preload = { LD_PRELOAD: SABOTEUR, HOSTILE_SABOTAGE: sabotage, HOSTILE_SABOTAGE_LOG: log };
    const berths = victim ? 2 : 1;
    const before = stack.workers.length;
    const added = stack.addWorker({ ready: { timeout: 180000 }, env: { ...env, BERTH_BERTHS: berths, BERTH_WARM: berths, ...preload } });
    const worker = stack.workers[before];
    try {
      await added;
      // Warm browsers may be given up on a busy machine, and come again: both are looked for anew.
      const renew = async () => {
        if (victim) await (await Agent.find(worker, 1)).order('listen', INSIDE_PORT);
        return context(await Agent.find(worker, 0));
      };
      const context = (agent) => ({ agent, targets, worker, driver, stack, victim: victim ? 1 : undefined });
      const found = {};
      for (const name of checks) found[name] = await look(name, renew);
      const followed = new Set(readFileSync(log, 'utf8').trim().split('\n'));
      return { found, followed };
    } finally {
      const { forced } = await worker.term(60000);
      const left = await worker.left({ timeout: 60000 });
      stack.workers.splice(before, 1);
      worker.slot.free();
      assert.ok(!forced && left.length === 0, `a worker, sabotaged by ${sabotage}, left ${left.join('; ')}`);
    }
  }

  const chosen = mutations.filter(({ lean, when = true }) => when && (whole || lean));

  test(`${driver}: with everything in place the checks find nothing`, { skip, timeout: 300000 }, async (t) => {
    const { found } = await find({ checks: [...new Set(chosen.map(({ check }) => check))], victim: true });
    for (const [name, problems] of Object.entries(found)) assert.deepEqual(problems, [], name);
    t.diagnostic(`${chosen.length} of ${mutations.length} protections are taken away${whole ? '' : '; BERTH_MUTATIONS=all: every one'}`);
  });

  for (const { name, sabotage, check, victim } of chosen) {
    test(`${driver}: without ${name} the suite notices`, { skip, timeout: 300000 }, async (t) => {
      const { found, followed } = await find({ sabotage, checks: [check], victim });
      const never = sabotage.split('\n').filter((_, i) => !followed.has(String(i)));
      assert.deepEqual(never, [], 'never done: the product has changed');
      assert.notDeepEqual(found[check], [], `${check} found nothing`);
      t.diagnostic(`${check}: ${found[check].slice(0, 2).join('; ')}${found[check].length > 2 ? ` and ${found[check].length - 2} more` : ''}`);
    });
  }
}
