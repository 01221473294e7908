// One started program (redis-server, berth-api, berth-worker, make run): its log, its end, its exit status.
// Owns: the child process and the file its output goes to.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';

/** Resolves with fn's first truthy value; polls, since what is waited for happens in other processes. */
export async function waitFor(fn, { timeout = 90000, every = 20, what = 'a condition' } = {}) {
  const deadline = Date.now() + timeout;
  let last;
  for (;;) {
    try {
      const value = await fn();
      if (value) return value;
      last = undefined;
    } catch (error) {
      if (error.final) throw error;
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited ${timeout} ms for ${what}${last ? `: ${last.message}` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** For actors that take their time; a test that waits for something polls for it with waitFor. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Program {
  #watchers = new Set();

  /** command: [file, ...args]; env is the whole environment; logFile gets everything it prints. */
  constructor(name, command, { env, cwd, logFile, detached = false }) {
    this.name = name;
    this.lines = [];
    this.exited = null; // { code, signal } once it is over
    this.signalled = null; // the last signal sent from here
    const file = createWriteStream(logFile, { flags: 'a' });
    this.child = spawn(command[0], command.slice(1), { env, cwd, detached, stdio: ['ignore', 'pipe', 'pipe'] });
    this.pid = this.child.pid;
    for (const stream of [this.child.stdout, this.child.stderr]) this.#follow(stream, file);
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => this.#over(resolve, { code: null, signal: null, error }));
      this.child.once('exit', (code, signal) => this.#over(resolve, { code, signal }));
    });
    this.child.once('close', () => file.end());
  }

  #over(resolve, how) {
    this.exited = how;
    for (const watcher of [...this.#watchers]) watcher();
    resolve(how);
  }

  #follow(stream, file) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      file.write(text);
      const parts = (rest + text).split('\n');
      rest = parts.pop();
      this.lines.push(...parts);
      if (this.lines.length > 20000) this.lines.splice(0, this.lines.length - 20000);
      for (const watcher of [...this.#watchers]) watcher();
    });
    stream.on('end', () => rest && this.lines.push(rest));
  }

  get running() {
    return this.exited === null;
  }

  /** The first match of pattern in a line it prints, now or later; an error if it ends first. */
  line(pattern, timeout = 90000) {
    return new Promise((resolve, reject) => {
      let seen = 0;
      const done = (settle, value) => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        settle(value);
      };
      const look = () => {
        for (; seen < this.lines.length; seen++) {
          const match = pattern.exec(this.lines[seen]);
          if (match) return done(resolve, match);
        }
        if (!this.running) done(reject, new Error(`${this.name} ended before it printed ${pattern}\n${this.tail(30)}`));
      };
      const timer = setTimeout(
        () => done(reject, new Error(`${this.name} did not print ${pattern} in ${timeout} ms\n${this.tail(30)}`)),
        timeout,
      );
      this.#watchers.add(look);
      look();
    });
  }

  tail(count = 100) {
    return this.lines.slice(-count).join('\n');
  }

  signal(name) {
    this.signalled = name;
    if (this.running) this.child.kill(name);
  }

  /** TERM, then KILL when it takes longer than grace ms. Returns { code, signal, forced }. */
  async end(grace = 90000) {
    if (!this.running) return { ...this.exited, forced: false };
    this.signal('SIGTERM');
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, grace, 'late');
    });
    const forced = (await Promise.race([this.ended, late])) === 'late';
    clearTimeout(timer);
    if (forced) this.signal('SIGKILL');
    return { ...(await this.ended), forced };
  }

  /** SIGKILL at once, and waits until it is gone. */
  async kill() {
    this.signal('SIGKILL');
    return this.ended;
  }
}
