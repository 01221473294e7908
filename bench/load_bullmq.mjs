// BullMQ as it is meant to be used, doing what comes nearest to a lifecycle: add a job, a worker in another process takes and
// finishes it, waitUntilFinished. Prints as bench/load.c does. Started by bench/load.mjs, which passes Redis' socket:
//
//   node load_bullmq.mjs work SOCKET CONCURRENCY
//   node load_bullmq.mjs add SOCKET LANES WARMUP SECONDS
import { createRequire } from 'node:module';
import { summary } from './lib/stats.mjs';

const { Queue, QueueEvents, Worker } = createRequire(import.meta.url)('bullmq');
const [, , role, path, count, warmup, seconds] = process.argv;
const connection = { path, maxRetriesPerRequest: null };
// The same words that a session's create carries.
const data = { project: 'default', profile: 'default', timeoutMs: 900000, idleMs: 120000, meta: { browser: 'chromium', region: 'local' } };

if (role === 'work') {
  const worker = new Worker('bench', async () => ({ connectUrl: 'ws://127.0.0.1:3001/s/0-00000000000000000000000000000000' }), {
    connection,
    concurrency: Number(count),
    removeOnComplete: { count: 1000 },
  });
  await worker.waitUntilReady();
  console.log('ready');
} else {
  const queue = new Queue('bench', { connection });
  const events = new QueueEvents('bench', { connection });
  for (const emitter of [queue, events]) emitter.setMaxListeners(0); // each wait adds its own
  await events.waitUntilReady();
  const start = performance.now() + Number(warmup) * 1000;
  const end = start + Number(seconds) * 1000;
  const times = [];
  const lane = async () => {
    while (performance.now() < end) {
      const begun = performance.now();
      const job = await queue.add('session', data);
      await job.waitUntilFinished(events);
      const now = performance.now();
      if (begun >= start && now < end) times.push((now - begun) * 1000);
    }
  };
  setTimeout(() => console.log('begin'), Number(warmup) * 1000);
  setTimeout(() => console.log('end'), (Number(warmup) + Number(seconds)) * 1000);
  await Promise.all(Array.from({ length: Number(count) }, lane));
  const result = { lifecycles: times.length, perSecond: times.length / Number(seconds), lifecycle: summary(times) };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}
