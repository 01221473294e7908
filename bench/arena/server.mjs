// A peer's server program: starts it with a log of its own, waits until it says that it listens, ends it.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createServer } from 'node:net';

/** A port that is free now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts command (its own process group); resolves with { match, end() } once a line it prints matches ready. */
export async function startServer(command, { env, cwd, logFile, ready, timeout = 30000 }) {
  const log = createWriteStream(logFile);
  const child = spawn(command[0], command.slice(1), { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // the whole group has ended
    }
  };
  let text = '';
  let timer;
  try {
    const match = await new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${why}\n${text.slice(-2000)}`));
      timer = setTimeout(() => fail(`it did not print ${ready} in ${timeout} ms`), timeout);
      child.once('error', reject);
      child.once('exit', () => fail('it ended at once'));
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (part) => {
          log.write(part);
          if (text.length < 1e5) text += part;
          const found = ready.exec(text);
          if (found) resolve(found);
        });
      }
    });
    const end = async () => {
      child.kill('SIGTERM');
      const late = setTimeout(signal, 5000, 'SIGKILL');
      await ended;
      clearTimeout(late);
      signal('SIGKILL'); // browsers that outlived it
    };
    return { match, end };
  } catch (error) {
    signal('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
