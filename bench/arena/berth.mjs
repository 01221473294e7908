// The Berth under test: a private Redis, a worker, an API that gives direct URLs and one that relays, all on free ports; shared by
// the providers berth and berth-relay. Built on the tests' harness, so that what the run leaves behind is found too.
import { startStack, waitFor } from '../../test/e2e/harness.mjs';

/** pool: { berths, warm }; env: further settings. Returns { url, relayUrl, warm(), idle(), close() }. */
export async function startBerth({ pool, env = {}, relay }) {
  const cleanups = [];
  const scope = { passed: true, after: (fn) => cleanups.unshift(fn) };
  const close = async () => {
    for (const cleanup of cleanups) await cleanup();
  };
  try {
    const stack = await startStack(scope, {
      redis: { aof: 'everysec' },
      workers: [
        {
          env: {
            BERTH_DRIVER: 'process',
            BERTH_BERTHS: pool.berths,
            BERTH_WARM: pool.warm,
            BERTH_EGRESS_ALLOW: 'host',
            ...(process.env.BERTH_BROWSER && { BERTH_BROWSER: process.env.BERTH_BROWSER }),
            ...env,
          },
        },
      ],
    });
    const relayed = relay ? await stack.addApi({ BERTH_CONNECT: 'relay' }) : null;
    const worker = stack.workers[0];
    const counts = async () => {
      const record = await worker.record();
      return Object.fromEntries(['free', 'starting', 'warm', 'taken', 'cleaning'].map((s) => [s, Number(record?.[s] ?? 0)]));
    };
    const until = (what, test) => waitFor(async () => test(await counts()), { what, timeout: 600000, every: 10 });
    return {
      url: stack.url,
      relayUrl: relayed?.url,
      /** n browsers are warm. */
      warm: (n) => until(`${n} warm browsers`, (c) => c.warm >= Math.min(n, pool.warm)),
      /** The pool is full and nothing is on its way. */
      idle: () => until('a full pool', (c) => c.taken + c.cleaning + c.starting === 0 && (c.warm >= pool.warm || c.free === 0)),
      close,
    };
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
}
