// The browsers' image with the hostile program in it, on a test's engine: one small layer, removed with the test.
import http from 'node:http';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD } from './harness.mjs';
import { BROWSER } from './hostile.mjs';

const FOLDER = '/opt/hostile';

/** { browser, env } for workers. */
export async function hostileImage(engine, dir, scope) {
  const name = `berth-hostile-${process.pid}`;
  const context = join(dir, 'image');
  mkdirSync(context);
  copyFileSync(join(BUILD, 'test/hostile', BROWSER), join(context, BROWSER));
  writeFileSync(join(context, 'Dockerfile'), `FROM berth-browser\nCOPY ${BROWSER} ${FOLDER}/${BROWSER}\n`);
  const tar = execFileSync('tar', ['-C', context, '--mode=a+rx', '-cf', '-', '.'], { maxBuffer: 1 << 26 });
  const said = await new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-tar' };
    const request = http.request({ socketPath: engine.socket, method: 'POST', path: `/v1.41/build?t=${name}&rm=true`, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (part) => (text += part));
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
    request.end(tar);
  });
  if (!/Successfully built/.test(said)) throw new Error(`no hostile image: ${said.slice(-500)}`);
  scope.after(() => engine.request('DELETE', `/v1.41/images/${name}?force=true`));
  return { browser: `${FOLDER}/${BROWSER}`, env: { ...engine.env, BERTH_DOCKER_IMAGE: name } };
}
