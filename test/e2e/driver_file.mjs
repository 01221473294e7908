// What the tests of one driver's file share: one stack with one worker of that driver (starting browsers is what takes the time),
// and what tests do with it. Everything waits for a condition, with the driver's own budget.
//
//   const file = driverFile({ driver: 'process', skip, env: () => ({ BERTH_WARM: 1 }) });
//   driverSuite(file);  test('…', { skip: file.skip }, async (t) => { const session = await file.create(t); … });
import { before } from 'node:test';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { startStack, fileScope, waitFor } from './harness.mjs';
import { startSite } from './site.mjs';
import { processes } from './host.mjs';
import { leftThings } from './inventory.mjs';
import { Cdp } from './cdp.mjs';

class DriverFile {
  constructor(options) {
    Object.assign(this, { skip: false, noPages: false, budget: 60000, start: 120000, api: {}, browser: /^chrom/ }, options);
    // Of a test with several sessions and starts: it has failed long before, by one of the other budgets.
    this.test = { skip: this.skip, timeout: 12 * Math.max(this.budget, this.start) };
  }

  get worker() {
    return this.stack.workers[0];
  }

  /** settings of a worker of this driver */
  workerEnv(more = {}) {
    return { BERTH_DRIVER: this.driver, BERTH_BERTHS: 3, BERTH_WARM: 1, BERTH_EGRESS_ALLOW: 'host', BERTH_DISCONNECT_GRACE: '500ms', ...this.env?.(), ...more };
  }

  async open(scope) {
    await this.prepare?.(scope);
    this.site = await startSite(scope);
    this.stack = await startStack(scope, {
      wait: false,
      env: this.api,
      workers: [{ env: this.workerEnv(), traces: this.traces?.() }],
    });
    await Promise.all(this.stack.apis.map((api) => api.ready(this.budget)));
    await this.warm();
  }

  /** This many warm browsers on the worker. */
  warm(n = 1, worker = this.worker) {
    return worker.ready({ warm: n, timeout: this.start });
  }

  /** A session; it ends with t, whatever comes of it. */
  async create(t, body = {}, stack = this.stack) {
    const { status, body: session, text } = await stack.request('POST', '/v1/sessions', { keepAlive: true, idleTimeoutSec: 0, ...body });
    assert.equal(status, 201, text);
    t?.after(() => stack.request('DELETE', `/v1/sessions/${session.id}`).catch(() => {}));
    return { ...session, berth: Number((await stack.session(session.id)).berth) };
  }

  /** Its record, once it has ended. */
  ended({ id }, stack = this.stack) {
    return waitFor(
      async () => {
        const record = await stack.session(id);
        return record.state === 'ended' && record;
      },
      { what: `the end of ${id}`, timeout: this.budget },
    );
  }

  async release(session, stack = this.stack) {
    const { status, text } = await stack.request('DELETE', `/v1/sessions/${session.id}`);
    assert.ok(status < 300, text);
    return this.ended(session, stack);
  }

  /** A connection to its browser. The gateway gives up one that takes long on a busy machine: it is tried again while the session lives. */
  cdp({ id, connectUrl }, stack = this.stack) {
    return waitFor(
      async () => {
        try {
          return await Cdp.open(connectUrl, { handshakeTimeout: this.budget });
        } catch (error) {
          error.final = !(error.status >= 500) || (await stack.session(id)).state !== 'running';
          throw error;
        }
      },
      { timeout: this.budget, every: 200, what: `a connection to ${id}` },
    );
  }

  /** Playwright: { browser, page }. */
  async connect({ connectUrl }) {
    const browser = await chromium.connectOverCDP(connectUrl, { timeout: this.budget });
    const context = browser.contexts()[0];
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(this.budget);
    page.setDefaultNavigationTimeout(this.budget);
    return { browser, page };
  }

  /** No berth is taken or being cleaned. */
  atRest(worker = this.worker) {
    return waitFor(
      async () => {
        const { taken, cleaning } = await worker.record();
        return Number(taken) + Number(cleaning) === 0;
      },
      { timeout: this.budget, what: 'every berth to be clean' },
    );
  }

  /** Processes of a berth of the worker: all that run as its user. */
  processesOf(berth, worker = this.worker) {
    return [...processes().values()].filter(({ uids }) => uids[0] === worker.slot.uidBase + berth);
  }

  /** The process that is a session's browser, or the machine it is in: the first of its kind. */
  browserOf({ berth }) {
    const mains = this.processesOf(berth).filter(({ pid, name, state }) => {
      try {
        return this.browser.test(name) && state !== 'Z' && !readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--type=');
      } catch {
        return false; // gone while we looked
      }
    });
    assert.ok(mains.length > 0, `no browser runs as the user of berth ${berth}`);
    return mains.sort((a, b) => Number(a.start) - Number(b.start))[0];
  }

  /** How many things of each kind there are of a worker on the host, beside processes. */
  async things(worker = this.worker) {
    const kinds = {};
    for (const thing of await leftThings(worker.slot, worker.id, worker.traces)) {
      const kind = /^(network namespace|interface|mount|cgroup|file|container|nft: table|nft)/.exec(thing)[0];
      if (kind !== 'nft') kinds[kind] = (kinds[kind] ?? 0) + 1; // of rules there may be more with each policy that was asked for
    }
    return kinds;
  }

  /** Waits until there is just this of the worker, as things() says it. */
  async has(want, worker = this.worker) {
    let have;
    const same = async () => isDeepStrictEqual((have = await this.things(worker)), want);
    await waitFor(same, { timeout: this.budget, every: 200, what: 'the host to be as before' }).catch(() => assert.deepEqual(have, want));
  }
}

/** driver: its name. skip: why its tests cannot run. noPages: why what needs a page cannot. env(): settings of its workers. api: settings of all programs. prepare(scope):
 * runs before the stack starts. traces(): where else its workers leave something (leftThings). browser: the name of the process
 * that is killed as a browser. budget, start: ms that a step may take, and coming up with warm browsers. */
export function driverFile(options) {
  const file = new DriverFile(options);
  const scope = fileScope();
  before(async () => {
    if (!file.skip) await file.open(scope);
  });
  return file;
}
