// Stands between an API and its Redis and loses answers when a test says so.
import net from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';

export class RedisProxy {
  /** Ends with test t. api(): the settings of an API that is to go through it. */
  static async start(t, stack) {
    const proxy = Object.assign(new RedisProxy(), { to: stack.redisServer.socket, path: join(stack.dir, 'proxy.sock') });
    proxy.server = net.createServer((client) => proxy.#join(client));
    proxy.server.listen(proxy.path);
    await once(proxy.server, 'listening');
    t.after(() => proxy.close());
    return proxy;
  }

  down = false; // nobody gets through
  lost = 0; // answers
  #pairs = new Set();
  #word = null;
  #stayDown = false;

  get api() {
    return { BERTH_REDIS_URL: `unix://${this.path}` };
  }

  /** The answer to the next command with this word in it is lost, and with it its connection; stayDown: and all others. */
  lose(word, { stayDown = false } = {}) {
    this.#word = word;
    this.#stayDown = stayDown;
  }

  #join(client) {
    if (this.down) return client.destroy();
    const redis = net.connect(this.to);
    const pair = [client, redis];
    let losing = false;
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#pairs.delete(pair);
        for (const other of pair) other.destroy();
      });
    }
    client.on('data', (bytes) => {
      if (this.#word && bytes.includes(this.#word)) {
        losing = true;
        this.#word = null;
      }
      redis.write(bytes);
    });
    redis.on('data', (bytes) => {
      if (!losing) return client.write(bytes);
      // Redis has done it.
      this.lost++;
      if (this.#stayDown) this.down = true;
      for (const one of this.#stayDown ? this.#pairs : [pair]) for (const socket of one) socket.destroy();
    });
  }

  async close() {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
