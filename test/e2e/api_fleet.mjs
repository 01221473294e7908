// What the API's tests share: an API with a private Redis and a played worker, and raw bytes to it.
import net from 'node:net';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { once } from 'node:events';
import { startStack } from './harness.mjs';
import { FakeWorker } from './fake_worker.mjs';

export const ID = /^c0-[a-z2-7]{24}$/;
export const UNKNOWN = 'c0-aaaaaaaaaaaaaaaaaaaaaaaa';
export const sha256 = (text) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/** An API (or several) and a played worker, unless worker is false: { stack, fake }. */
export async function fleet(t, { env, worker, apis } = {}) {
  const stack = await startStack(t, { workers: [], env, apis });
  const fake = worker === false ? null : await FakeWorker.start(t, stack, worker);
  return { stack, fake };
}

export const create = (stack, body = {}, headers = {}, query = '') => stack.request('POST', `/v1/sessions${query}`, body, headers);

/** Sends raw bytes; everything that comes back until the server closes, or until `until` matches. */
export async function raw(stack, bytes, { until, end = false } = {}) {
  const socket = net.connect(stack.apis[0].port, '127.0.0.1');
  let got = '';
  socket.setEncoding('latin1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(bytes, 'latin1');
  if (end) socket.end();
  await new Promise((resolve) => {
    socket.on('data', (text) => {
      got += text;
      if (until && until.test(got)) resolve();
    });
    socket.on('close', resolve);
  });
  socket.destroy();
  return got;
}

/** The status of the first reply in raw text. */
export const statusOf = (text) => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);

/** A file of API keys: [{ key, project, scopes, … }], of which it has the hashes. Its path. */
export function keyFile(stack, keys) {
  const path = join(stack.dir, 'keys.json');
  writeFileSync(path, JSON.stringify({ keys: keys.map(({ key, ...rest }) => ({ hash: sha256(key), ...rest })) }));
  return path;
}
