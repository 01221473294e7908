// What a compromised browser process tries from native code (hostile.mjs), over a driver that runs a browser of the test's choice.
// Another session and the worker go on beside it, and nothing of it outlives its session or its worker.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startStack, fileScope, waitFor } from './harness.mjs';
import { processes } from './host.mjs';
import { Cdp } from './cdp.mjs';
import { Agent, CHECKS, LIMITS, look, processesIn } from './hostile.mjs';
import { addressesOf, inTime, startHeld, startTargets, INSIDE_PORT } from './attack_targets.mjs';

const TIMEOUT = 300000;
const USING_UP = ['forks', 'memory', 'fillTmp', 'fillShm', 'descriptors'];

/** prepare(targets): { browser, env } once there are targets. */
export function hostileSuite({ driver, skip, prepare }) {
  const scope = fileScope();
  let targets, stack, worker;

  before(async () => {
    if (skip) return;
    targets = await startTargets(scope);
    const { browser, env } = await prepare(targets, scope);
    const profiles = join(targets.dir, 'profiles.json');
    const profile = { driver, warm: 0, ...LIMITS };
    const list = [
      { ...profile, name: 'default', warm: 1 },
      { ...profile, name: 'hostile', browser },
      { ...profile, name: 'open', browser, egressAllow: ['host', '0.0.0.0/0'] },
    ];
    writeFileSync(profiles, JSON.stringify({ profiles: list }));
    const settings = { BERTH_DRIVER: driver, BERTH_BERTHS: 3, BERTH_WARM: 1, BERTH_PROFILES: profiles, ...env };
    stack = await startStack(scope, { wait: false, workers: [{ env: settings }] });
    worker = stack.workers[0];
    await worker.ready({ warm: 1, timeout: 180000 });
    await stack.apis[0].ready(60000);
  });

  /** A session; the test ends it, whatever comes of it. agent: of a profile with a hostile browser. */
  async function open(t, runtimeProfile) {
    const { status, body, text } = await stack.request('POST', '/v1/sessions', { runtimeProfile, keepAlive: true, idleTimeoutSec: 0 });
    assert.equal(status, 201, text);
    t.after(() => stack.request('DELETE', `/v1/sessions/${body.id}`));
    const berth = Number((await stack.session(body.id)).berth);
    return { ...body, berth, agent: runtimeProfile === 'default' ? null : await Agent.find(worker, berth) };
  }

  async function end(session) {
    await stack.request('DELETE', `/v1/sessions/${session.id}`); // which may have ended by itself
    await ended(session);
  }

  const ended = (session) =>
    waitFor(async () => (await stack.session(session.id)).state === 'ended' && Number((await worker.record()).cleaning) === 0, {
      timeout: 60000,
      what: `the end of ${session.id}`,
    });

  /** Its page answers: how fast is nobody's promise. */
  async function goesOn(session) {
    const cdp = await inTime(Cdp.open(session.connectUrl, { handshakeTimeout: 60000 }), 'a connection to the other session');
    const { targetInfos } = await inTime(cdp.send('Target.getTargets'), "the other session's answer");
    assert.ok(targetInfos.length > 0);
    const { sessionId } = await inTime(cdp.send('Target.attachToTarget', { targetId: targetInfos.find(({ type }) => type === 'page').targetId, flatten: true }), 'its page');
    const { result } = await inTime(cdp.send('Runtime.evaluate', { expression: '6 * 7' }, sessionId), "its page's answer");
    assert.equal(result.value, 42);
    cdp.drop();
    assert.equal((await inTime(stack.request('GET', '/readyz'), 'the API')).status, 200);
    assert.ok(worker.running);
  }

  const uidsOf = (session) => [...processes().values()].filter(({ uids }) => uids.includes(worker.slot.uidBase + session.berth));

  test(`${driver}: a compromised browser gets at nothing that is not its own`, { skip, timeout: TIMEOUT }, async (t) => {
    const victim = await open(t, 'open');
    await victim.agent.order('listen', INSIDE_PORT);
    const { self } = addressesOf(worker, victim.berth);
    assert.deepEqual(await victim.agent.order('tcp', self, INSIDE_PORT), [`tcp ${self} ${INSIDE_PORT}: yes`], 'the victim can be reached by itself');
    const session = await open(t, 'hostile');
    const context = { agent: session.agent, targets, worker, driver, stack, victim: victim.berth };
    const found = {};
    for (const name of Object.keys(CHECKS)) {
      const problems = USING_UP.includes(name) ? [] : await look(name, () => context, 1);
      if (problems.length) found[name] = problems;
    }
    assert.deepEqual(found, {});
    await goesOn(session);
    await end(session);

    // The same probes where they have to succeed; other berths stay closed there, too.
    const allowed = [addressesOf(worker, victim.berth).host, ...targets.beyond.addresses];
    const ports = [targets.tcpPort, ...targets.beyond.addresses.map(() => INSIDE_PORT)];
    const lines = await victim.agent.order('tcp', ...allowed.flatMap((at, i) => [at, ports[i]]));
    assert.deepEqual(lines.filter((line) => !line.endsWith(': yes')), [], 'the probes work where the profile allows it');
    const datagrams = targets.hits.udp;
    await victim.agent.order('udp', addressesOf(worker, victim.berth).host, targets.udpPort);
    await waitFor(() => targets.hits.udp > datagrams, { timeout: 60000, what: 'a datagram where it is allowed' });
    const other = await open(t, 'open');
    await other.agent.order('listen', INSIDE_PORT);
    const at = addressesOf(worker, other.berth).self;
    const between = await victim.agent.order('tcp', at, INSIDE_PORT, at, 9222, '127.0.0.1', 9222);
    assert.deepEqual(between.filter((line) => line.endsWith(': yes')), [], 'whatever its profile allows');
    await end(other);
    await end(victim);
  });

  test(`${driver}: what a compromised browser uses up is bounded, and others go on`, { skip, timeout: TIMEOUT }, async (t) => {
    const neighbour = await open(t, 'default');
    for (const name of USING_UP) {
      // Its browser need not survive this; the next attack then has a new one.
      let session;
      const renew = async () => {
        if (session) await end(session);
        session = await open(t, 'hostile');
        return { agent: session.agent, targets, worker, driver, stack };
      };
      assert.deepEqual(await look(name, renew), [], name);
      await goesOn(neighbour);
      await end(session);
    }
    const loud = await open(t, 'hostile');
    await loud.agent.order('output', 32);
    await goesOn(neighbour);
    await end(loud);
    await end(neighbour);
  });

  test(`${driver}: nothing of a compromised browser outlives its session`, { skip, timeout: TIMEOUT }, async (t) => {
    const held = await startHeld(t);
    const session = await open(t, 'open');
    const { host } = addressesOf(worker, session.berth);
    assert.deepEqual(await session.agent.order('hold', host, held.port), ['hold: yes']);
    await inTime(held.opened, 'the connection that is kept');
    await waitFor(() => uidsOf(session).filter(({ name }) => name === 'hostile-stays').length >= 3, { timeout: 60000, what: 'children that want to stay' });
    await end(session);
    await inTime(held.gone, 'the end of the connection that was kept');
    assert.deepEqual(uidsOf(session).filter(({ name }) => name.startsWith('hostile')).map(({ name }) => name), []);
    const next = [await open(t, 'default'), await open(t, 'default'), await open(t, 'default')];
    assert.ok(next.some(({ berth }) => berth === session.berth));
    for (const one of next) await goesOn(one);
    for (const one of next) await end(one);
  });

  test(`${driver}: nothing of a compromised browser outlives its worker`, { skip, timeout: TIMEOUT }, async (t) => {
    const session = await open(t, 'hostile');
    await session.agent.order('hold', '127.0.0.1', 9222);
    const inside = processesIn(worker, session.berth).length;
    assert.ok(inside > 3, `${inside} processes`);
    await worker.kill();
    assert.deepEqual(await worker.left({ things: false, timeout: 60000 }), []);
    await worker.start();
    await worker.ready({ warm: 1, timeout: 180000 });
    await ended(session);
    assert.equal((await stack.session(session.id)).reason, 'worker_lost');
  });
}
