// A worker that is played: it calls the worker's scripts when a test says so, and its gateway echoes what WebSockets send.
// It owns its gateway's port and one Redis connection; close() ends both and takes the worker off the fleet.
import http from 'node:http';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { WebSocketServer } from 'ws';
import { waitFor } from './program.mjs';

export class FakeWorker {
  static async start(t, stack, { id = 'fake', capacity = 4, profiles = ['default'], lease = 600000 } = {}) {
    const worker = Object.assign(new FakeWorker(), { stack, id, capacity, profiles, lease });
    await worker.#listen();
    await worker.register();
    t.after(() => worker.close());
    return worker;
  }

  sockets = new Set(); // WebSockets open on the gateway
  upgrades = []; // heads of the upgrade requests it got
  pages = []; // what /json/list answers
  refuse = 0; // a status: upgrades are refused with it
  #seen = '0';

  async #listen() {
    this.server = http.createServer((request, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(request.url.endsWith('/json/list') ? this.pages : {}));
    });
    this.wss = new WebSocketServer({ noServer: true });
    this.server.on('upgrade', (request, socket, head) => {
      this.upgrades.push({ url: request.url, headers: request.headers });
      if (this.refuse) return socket.end(`HTTP/1.1 ${this.refuse} No\r\nContent-Length: 0\r\n\r\n`);
      this.wss.handleUpgrade(request, socket, head, (ws) => {
        this.sockets.add(ws);
        ws.on('close', () => this.sockets.delete(ws));
        ws.on('error', () => {});
        ws.on('message', (data, binary) => ws.send(data, { binary }));
      });
    });
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.gateway = `ws://127.0.0.1:${this.server.address().port}`;
  }

  async call(script, ...args) {
    const reply = await this.stack.script(script, ...args);
    if (reply[0] !== 'ok') throw new Error(`${script} answered ${reply.join(' ')}`);
    return reply;
  }

  async register() {
    const [, epoch] = await this.call('register', this.id, this.lease, this.capacity, this.profiles.join(','), this.gateway, 'sim', '{"fake":true}', 'spread');
    this.epoch = epoch;
  }

  heartbeat({ pressure = 0 } = {}) {
    return this.call('heartbeat', this.id, this.epoch, this.lease, pressure, 10, 20, 0.5, 0, 'spread');
  }

  secret(berth) {
    return `${berth}-${randomBytes(16).toString('hex')}`;
  }

  /** Makes a warm berth. */
  async warm(profile = 'default') {
    const [, berth, turn] = await this.call('reserve', this.id, this.epoch, profile);
    const secret = this.secret(berth);
    await this.call('offer', this.id, this.epoch, berth, turn, profile, secret, '{"totalMs":65.5,"cdpReadyMs":60}', 'spread');
    return { berth, turn, secret };
  }

  /** The next job of a kind that comes, or has come and was not taken yet. */
  job(kind, { timeout = 90000 } = {}) {
    return waitFor(
      async () => {
        for (;;) {
          const found = await this.stack.redis.xrange(this.stack.key(`jobs:${this.id}`), `(${this.#seen}`, '+', 'COUNT', 1);
          if (!found.length) return null;
          this.#seen = found[0][0];
          const job = Object.fromEntries(found[0][1].flatMap((v, i, all) => (i % 2 ? [] : [[v, all[i + 1]]])));
          if (job.kind === kind) return job;
        }
      },
      { timeout, every: 5, what: `a ${kind} job` },
    );
  }

  ready(job) {
    return this.call('ready', this.id, this.epoch, job.berth, job.turn, job.session, this.secret(job.berth), '{"totalMs":120}');
  }

  failed(job, message = 'it would not start') {
    return this.call('failed', this.id, this.epoch, job.berth, job.turn, message, 'spread');
  }

  freed({ berth, turn }) {
    return this.call('freed', this.id, this.epoch, berth, turn, 'spread');
  }

  /** Confirms the next stop, as a worker would. */
  async stopped() {
    const job = await this.job('stop');
    await this.freed(job);
    return job;
  }

  async close() {
    for (const ws of this.sockets) ws.terminate();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
