// A crowd of clients that create, keep and release sessions while a test breaks something; afterwards every session that
// was acknowledged, and every one that Redis knows, has to have come to one true end.
import assert from 'node:assert/strict';
import { waitFor } from './harness.mjs';

export class Crowd {
  /** url(i): the API that client i talks to now. hold: ms a client keeps its session; patience: ms it waits for one. */
  constructor(t, stack, { clients = 12, hold = 50, url = () => stack.url, body = {}, patience = 150000 } = {}) {
    Object.assign(this, { stack, clients, hold, url, body, patience });
    this.answers = []; // { status | error, id, ms } of each create
    this.acknowledged = new Set();
    this.going = true;
    t.after(() => this.stop());
    this.loops = Array.from({ length: clients }, (_, i) => this.#client(i));
  }

  async #client(i) {
    while (this.going) {
      const answer = await this.#create(i);
      this.answers.push(answer);
      if (answer.id) {
        await new Promise((resolve) => setTimeout(resolve, this.hold));
        await this.#release(i, answer.id);
      } else {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async #create(i) {
    const begun = Date.now();
    try {
      const { status, body } = await this.stack.request('POST', '/v1/sessions', this.body, {}, {
        url: this.url(i),
        signal: AbortSignal.timeout(this.patience),
      });
      const ok = status === 201 || status === 202;
      if (ok) this.acknowledged.add(body.id);
      return { status, id: ok ? body.id : undefined, code: body?.error?.code, ms: Date.now() - begun };
    } catch (error) {
      return { error: error.cause?.code ?? error.name, ms: Date.now() - begun };
    }
  }

  async #release(i, id) {
    // A release that gets no answer is tried again, as a careful client does; 404 and 410 are answers.
    for (let tries = 0; tries < 100 && (this.going || tries < 5); tries++) {
      try {
        const { status } = await this.stack.request('DELETE', `/v1/sessions/${id}`, undefined, {}, { url: this.url(i) });
        if (status < 500) return;
      } catch {
        // the API is away
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  count(what) {
    return this.answers.filter(what).length;
  }

  /** Resolves when n more creates were answered with 201. */
  async served(n = 20, timeout = 120000) {
    const before = this.acknowledged.size;
    await waitFor(() => this.acknowledged.size >= before + n, { timeout, what: `${n} more sessions (so far ${before})` });
  }

  async stop() {
    this.going = false;
    await Promise.all(this.loops);
  }
}

/** Every session in Redis has ended, once; all berths are clean; the counts are exact; audit finds nothing. */
export async function allAtRest(stack, { acknowledged = [], timeout = 120000 } = {}) {
  const { redis } = stack;
  const ids = async () => (await redis.keys(stack.key('session:*'))).map((key) => key.slice(stack.key('session:').length));
  await waitFor(
    async () => {
      const states = await Promise.all((await ids()).map((id) => redis.hget(stack.key(`session:${id}`), 'state')));
      return states.every((state) => state === 'ended');
    },
    { timeout, every: 100, what: 'the end of every session' },
  );
  const known = new Set(await ids());
  for (const id of acknowledged) assert.ok(known.has(id), `${id} was acknowledged and is not forgotten`);
  await waitFor(
    async () => {
      for (const worker of await redis.zrange(stack.key('workers'), 0, -1)) {
        const { taken, cleaning } = await redis.hgetall(stack.key(`worker:${worker}`));
        if (Number(taken) || Number(cleaning)) return false;
      }
      return true;
    },
    { timeout, every: 50, what: 'no berth taken' },
  );
  const ends = new Map();
  for (const [, fields] of await redis.xrange(stack.key('events'), '-', '+')) {
    const event = Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]]));
    if (event.to === 'ended') ends.set(event.session, (ends.get(event.session) ?? 0) + 1);
  }
  for (const [id, times] of ends) assert.equal(times, 1, `${id} ended once`);
  for (const worker of await redis.zrange(stack.key('workers'), 0, -1)) {
    const w = await redis.hgetall(stack.key(`worker:${worker}`));
    const sum = ['free', 'starting', 'warm', 'taken', 'cleaning'].reduce((n, state) => n + Number(w[state]), 0);
    assert.equal(sum, Number(w.capacity), `the berths of ${worker}`);
  }
  assert.deepEqual(await stack.audit(), []);
}

/** How the sessions ended: { released: 12, worker_lost: 3 }. */
export async function reasons(stack) {
  const found = {};
  for (const key of await stack.redis.keys(stack.key('session:*'))) {
    const reason = await stack.redis.hget(key, 'reason');
    found[reason] = (found[reason] ?? 0) + 1;
  }
  return found;
}
