// A Docker Engine for tests: the one that runs on this machine (BERTH_DOCKER_SOCKET or its usual socket), else one of our own,
// started here and ended with the tests; and the browsers' image on it, built if it is missing. Its images stay beside the build
// folder, so that only the first run on a machine builds.
//
//   const engine = await startEngine();
//   test('…', { skip: engine.reason }, …)        reason: why there is none; false where there is
//   engine.begin, engine.end                     of one of our own; undefined where it is the machine's
//   engine.socket, engine.env                    for workers      engine.request(method, path, body)   engine.containers(workerId)
import http from 'node:http';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { BUILD, ROOT, lastly, waitFor } from './harness.mjs';
import { Program } from './program.mjs';

const USUAL = '/var/run/docker.sock';

function request(socketPath, method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const r = http.request({ socketPath, method, path, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (part) => (text += part));
      response.on('end', () => {
        let parsed;
        try {
          parsed = JSON.parse(text);
        } catch {
          parsed = undefined;
        }
        resolve({ status: response.statusCode, body: parsed, text });
      });
    });
    r.on('error', reject);
    r.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Whether it is this machine's engine: the socket of another one may be mounted here, and its processes are then not ours to see. */
const isOurs = (socket) => request(socket, 'GET', '/info').then(({ body }) => body?.Name === hostname(), () => false);

const answers = (socket) => request(socket, 'GET', '/_ping').then(({ text }) => text === 'OK', () => false);

class Engine {
  reason = false;

  constructor(socket) {
    this.socket = socket;
    this.env = { BERTH_DRIVER: 'docker', BERTH_DOCKER_SOCKET: socket };
  }

  request(method, path, body) {
    return request(this.socket, method, path, body);
  }

  /** Containers with this worker's label, those that have ended too. */
  async containers(workerId) {
    const filters = encodeURIComponent(JSON.stringify({ label: [`berth.worker=${workerId}`] }));
    return (await this.request('GET', `/v1.41/containers/json?all=true&filters=${filters}`)).body;
  }

  async inspect(name) {
    return (await this.request('GET', `/v1.41/containers/${name}/json`)).body;
  }

  /** Builds the image unless it is there, and tries it. */
  image() {
    const env = { ...process.env, BERTH_DOCKER_SOCKET: this.socket };
    return new Promise((resolve, reject) => {
      execFile(join(ROOT, 'scripts/browser-image'), ['--if-missing', '--verify'], { env, timeout: 600000 }, (error, stdout, stderr) => {
        if (stdout) console.error(stdout.trim());
        if (error) reject(new Error(`no browser in a container on this machine: ${stderr.trim().split('\n').slice(-4).join('; ') || error.message}`));
        else resolve();
      });
    });
  }
}

/** One of our own; its end is this process's. */
class OwnEngine extends Engine {
  static async start() {
    const dir = mkdtempSync('/tmp/berth-docker-'); // short: a containerd socket's path has a limit
    const engine = new OwnEngine(join(dir, 'docker.sock'));
    engine.dir = dir;
    lastly(async () => {
      await engine.end();
      rmSync(dir, { recursive: true, force: true });
    });
    await engine.begin();
    return engine;
  }

  async begin() {
    this.program = new Program('dockerd', [join(ROOT, 'scripts/docker-engine'), this.dir, `${BUILD}-docker`], {
      env: process.env,
      cwd: this.dir,
      logFile: join(this.dir, 'log'),
    });
    await waitFor(
      async () => {
        if (!this.program.running) throw Object.assign(new Error('dockerd ended'), { final: true });
        return answers(this.socket);
      },
      { timeout: 120000, every: 50, what: 'dockerd' },
    ).catch((error) => {
      throw new Error(`dockerd cannot run on this machine: ${error.message}: ${this.program.tail(3)}`);
    });
  }

  end() {
    return this.program.end(60000);
  }
}

export async function startEngine() {
  if (process.getuid() !== 0) return { reason: 'needs root: the docker driver makes networks' };
  const given = process.env.BERTH_DOCKER_SOCKET ?? USUAL;
  let engine;
  try {
    engine = existsSync(given) && (await answers(given)) && (await isOurs(given)) ? new Engine(given) : await OwnEngine.start();
    await engine.image();
  } catch (error) {
    return { reason: error.message };
  }
  return engine;
}
