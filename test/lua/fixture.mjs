// A private Redis for the tests of the scripts, on a unix socket in a folder of its own, without persistence; and the scripts,
// assembled from lua/ (or from a changed copy) and called by name.
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const PREFIX = 'berth:{c0}';

// Starts a Redis. `connect(db)` opens a client; `stop(failed)` ends the clients and the server, and prints the server's log if asked.
export async function startRedis() {
  const dir = mkdtempSync(join(tmpdir(), 'berth-lua-'));
  const socket = join(dir, 'redis.sock');
  const server = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no',
    '--dir', dir, '--logfile', join(dir, 'redis.log'), '--daemonize', 'no', '--databases', '64'], { stdio: 'ignore' });
  const exited = new Promise((done) => server.once('exit', done));
  const log = () => {
    try {
      return readFileSync(join(dir, 'redis.log'), 'utf8');
    } catch {
      return '(no log)';
    }
  };
  const clients = [];
  const connect = async (db = 0) => {
    const client = new Redis({
      path: socket, db, lazyConnect: true, maxRetriesPerRequest: 400, retryStrategy: (n) => (n > 400 ? null : 25),
    });
    client.on('error', () => {});
    clients.push(client);
    await client.connect().catch(() => {});
    await client.ping();
    return client;
  };
  const stop = async (failed = false) => {
    if (failed) console.log(log());
    for (const c of clients) c.disconnect();
    server.kill('SIGTERM');
    const kill = setTimeout(() => server.kill('SIGKILL'), 5000);
    await exited;
    clearTimeout(kill);
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await connect();
  } catch (e) {
    await stop(true);
    throw e;
  }
  return { connect, stop, log };
}

// The library made of the scripts below `dir`: { library: its name, text }.
export function assemble(dir = join(root, 'lua')) {
  const text = execFileSync(join(root, 'scripts', 'lua-assemble'), [dir], { encoding: 'utf8' });
  return { library: /^#!lua name=(\S+)/.exec(text)[1], text };
}

export async function load(redis, { text }) {
  await redis.call('FUNCTION', 'LOAD', 'REPLACE', text);
}

// Calls a script; `redis` may be a pipeline.
export function call(redis, { library }, verb, ...argv) {
  return redis.fcall(`${library}_${verb}`, 1, PREFIX, ...argv);
}

// A flat list of fields and values as an object.
export function unflat(list) {
  const o = {};
  for (let i = 0; i < list.length; i += 2) o[list[i]] = list[i + 1];
  return o;
}
