// Many sessions by several clients, while the workers are killed (SIGKILL) and started again at moments that a seed decides.
// A session whose worker dies is lost, and says so; what must never happen is a request that hangs, a session without an end,
// or anything left on the host.
//
//   BERTH_SESSIONS       how many (default: the file's)
//   BERTH_SESSIONS_SEED  decides what clients do and when workers are killed
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { pause, waitFor } from './harness.mjs';
import { allAtRest } from './crowd.mjs';
import { openPage } from './cdp.mjs';
import { random } from './random.mjs';

const SEED = Number(process.env.BERTH_SESSIONS_SEED ?? 4);
/** What a create may be answered with when its worker dies under it; all else is a fault. */
const REFUSALS = new Set(['no_worker', 'queue_timeout', 'start_failed', 'session_lost']);
const ENDS = new Set(['released', 'timeout', 'disconnected', 'browser_crashed', 'worker_lost', 'start_failed', 'queue_timeout']);

class Run {
  constructor(file, workers, total) {
    Object.assign(this, { file, stack: file.stack, workers, total, begun: 0, over: false, kills: 0 });
    this.acknowledged = new Set();
    this.outcomes = {};
    this.faults = [];
    this.random = random(SEED);
    // A session may wait for a berth, be started three times, and be told of late: nobody waits for longer than that.
    this.limit = 4 * file.start;
  }

  between(low, high) {
    return Math.round(low + this.random() * (high - low));
  }

  count(what) {
    this.outcomes[what] = (this.outcomes[what] ?? 0) + 1;
  }

  /** The promise's value; a fault of its own kind if it takes too long. */
  within(promise, ms, what) {
    let timer;
    const late = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(Object.assign(new Error(`${what} hung for ${ms} ms`), { fault: true })), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  }

  request(method, path, body) {
    return this.within(this.stack.request(method, path, body), this.file.budget + 30000, `${method} ${path}`);
  }

  /** A session that runs, or what became of it: { id, connectUrl } or { refused } or { id, lost }. */
  async create(body) {
    const deadline = Date.now() + this.limit;
    let answer = await this.request('POST', '/v1/sessions?wait=20', body);
    const { id } = answer.body ?? {};
    if (answer.status > 202) {
      const code = answer.body?.error?.code;
      if (!REFUSALS.has(code)) this.faults.push(`a create was answered with ${answer.status} ${answer.text}`);
      return { refused: code };
    }
    this.acknowledged.add(id);
    while (['queued', 'starting'].includes(answer.body.state)) {
      if (Date.now() > deadline) throw Object.assign(new Error(`${id} did not run in ${this.limit} ms`), { fault: true });
      answer = await this.request('GET', `/v1/sessions/${id}?wait=20&state=${answer.body.state}`);
      if (answer.status !== 200) throw new Error(`its record: ${answer.status} ${answer.text}`);
    }
    return answer.body.connectUrl ? { id, connectUrl: answer.body.connectUrl } : { id, lost: true };
  }

  /** What a client does with its browser: a page, and a script in it. */
  async use(session, number) {
    const cdp = await this.file.cdp(session);
    try {
      const page = await openPage(cdp, 'about:blank');
      const said = await page.evaluate(`${number} + 1`);
      if (said !== number + 1) throw new Error(`the page says ${said}`);
    } finally {
      cdp.drop();
    }
  }

  async release(id) {
    await waitFor(
      async () => {
        const { status, text } = await this.request('DELETE', `/v1/sessions/${id}`);
        if (status === 404) throw Object.assign(new Error(`${id} was acknowledged, and is unknown: ${text}`), { final: true, fault: true });
        return status < 500;
      },
      { timeout: this.file.budget, every: 100, what: `the release of ${id}` },
    );
  }

  async session(number) {
    const habit = ['work', 'work', 'work', 'leave', 'forget'][Math.floor(this.random() * 5)];
    const body = { work: { keepAlive: true }, leave: { keepAlive: false }, forget: { keepAlive: true, timeoutSec: 2 } }[habit];
    let trouble = '';
    let session = {};
    try {
      session = await this.create({ idleTimeoutSec: 0, ...body });
      if (session.refused) return this.count(`refused ${session.refused}`);
      if (session.connectUrl && habit !== 'forget') await this.within(this.use(session, number), this.limit, `the use of ${session.id}`);
      if (habit === 'work') await this.release(session.id);
    } catch (error) {
      trouble = error.message;
      if (error.fault) this.faults.push(trouble);
    }
    if (!session.id) return this.faults.push(`session ${number}: ${trouble}`);
    return this.end(session, trouble);
  }

  /** Its one end; a client that had trouble gives it the time in which a lost worker is noticed, and then gives it back. */
  async end(session, trouble) {
    const { id } = session;
    let record;
    if (trouble) {
      await this.file.ended(session).catch(() => {
        this.count('trouble with a session that lived');
        return this.release(id);
      });
    }
    try {
      record = await this.file.ended(session);
    } catch (error) {
      record = await this.stack.session(id);
      this.faults.push(`${error.message}: ${JSON.stringify(record)}`);
    }
    this.count(record.reason || record.state);
    const fits = ENDS.has(record.reason) && (!trouble || record.reason !== 'released');
    if (!fits) console.error(`session ${id} ended in an unusual way: ${trouble}: ${JSON.stringify(record)}`);
  }

  async client() {
    while (this.begun < this.total) {
      const number = ++this.begun;
      await this.session(number).catch((error) => this.faults.push(`session ${number}: ${error.stack}`));
    }
  }

  /** Kills a worker whenever some more sessions have begun, and starts it again. */
  async killer() {
    const every = Math.max(2, Math.round(this.total / 10));
    for (let next = this.between(2, every); ; next = this.begun + this.between(every / 2, every)) {
      while (!this.over && this.begun < next) await pause(20);
      if (this.over || this.begun >= this.total) return;
      const worker = this.workers[Math.floor(this.random() * this.workers.length)];
      await pause(this.between(0, 400));
      await worker.kill();
      this.kills++;
      for (const thing of await worker.left({ things: false, timeout: this.file.budget })) this.faults.push(`${worker.name}, killed, left ${thing}`);
      await pause(this.between(0, 800));
      await worker.start();
    }
  }
}

/** workers, clients: how many; sessions: unless BERTH_SESSIONS says. The last test of its file: the workers have ended after it. */
export function manySessions(file, { sessions, clients = 4, workers = 2 }) {
  const total = Number(process.env.BERTH_SESSIONS ?? sessions);

  test(`${file.driver}: ${total} sessions while workers are killed: each has one end, and nothing is left`, { skip: file.skip, timeout: 3600000 }, async (t) => {
    const { stack } = file;
    while (stack.workers.length < workers) await stack.addWorker({ env: file.workerEnv(), traces: file.traces?.() });
    await Promise.all(stack.workers.map((worker) => file.warm(1, worker)));
    const before = await Promise.all(stack.workers.map((worker) => file.things(worker)));
    const run = new Run(file, stack.workers, total);
    const begun = Date.now();
    const killing = run.killer();
    await Promise.all(Array.from({ length: clients }, () => run.client()));
    run.over = true;
    await killing;
    t.diagnostic(`seed ${SEED}: ${total} sessions, ${run.kills} kills, ${((Date.now() - begun) / 1000).toFixed(0)} s: ${JSON.stringify(run.outcomes)}`);
    assert.deepEqual(run.faults, []);
    assert.ok(run.kills > 0 && Object.values(run.outcomes).reduce((a, b) => a + b, 0) >= total);
    assert.ok((run.outcomes.released ?? 0) + (run.outcomes.disconnected ?? 0) + (run.outcomes.timeout ?? 0) > 0, 'some sessions were served');
    await Promise.all(stack.workers.map((worker) => file.warm(1, worker)));
    await allAtRest(stack, { acknowledged: run.acknowledged, timeout: file.start });
    for (const [i, worker] of stack.workers.entries()) {
      await file.has(before[i], worker);
      assert.deepEqual(await worker.term(file.budget), { code: 0, signal: null, forced: false });
      assert.deepEqual(await worker.left({ timeout: file.budget }), []);
    }
  });
}
