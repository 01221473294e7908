// Many sessions with real browsers: in a row, and several at once. Every one works, none shares anything with another, and
// afterwards nothing is left. BERTH_MANY: how many in a row (default 250).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startStack, waitFor } from './harness.mjs';
import { Cdp } from './cdp.mjs';
import { withPlaywright } from './site.mjs';

const MANY = Number(process.env.BERTH_MANY ?? 250);
const driver = { BERTH_DRIVER: 'process', BERTH_BERTHS: 12, BERTH_WARM: 4 };

async function create(stack) {
  const { status, body, text } = await stack.request('POST', '/v1/sessions', {});
  assert.equal(status, 201, text);
  return body;
}

/** What a client does, without a client library's own time: opens a page and reads its title. */
async function use(stack, number) {
  const session = await create(stack);
  const cdp = await Cdp.open(session.connectUrl);
  const { targetInfos } = await cdp.send('Target.getTargets');
  const page = targetInfos.find((target) => target.type === 'page');
  const targetId = page?.targetId ?? (await cdp.send('Target.createTarget', { url: 'about:blank' })).targetId;
  const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
  await cdp.send('Page.enable', {}, sessionId);
  await cdp.send('Page.navigate', { url: `data:text/html,<title>session ${number}</title>` }, sessionId);
  await waitFor(
    async () => (await cdp.send('Runtime.evaluate', { expression: 'document.title' }, sessionId)).result.value === `session ${number}`,
    { every: 2, what: `the page of session ${number}` },
  );
  const { status } = await stack.request('DELETE', `/v1/sessions/${session.id}`);
  assert.ok(status < 300);
  assert.equal((await cdp.closed).code, 1000);
  return session;
}

async function quiet(stack) {
  await waitFor(
    async () => {
      const { taken, cleaning } = await stack.workers[0].record();
      return Number(taken) === 0 && Number(cleaning) === 0;
    },
    { timeout: 120000, what: 'every berth to be clean' },
  );
  assert.deepEqual(await stack.audit(), []);
}

test(`${MANY} sessions in a row`, { timeout: 1200000 }, async (t) => {
  const stack = await startStack(t, { workers: [{ env: driver }] });
  const secrets = new Set();
  const begun = Date.now();
  for (let i = 0; i < MANY; i++) {
    const session = await use(stack, i);
    secrets.add(session.connectUrl);
    if (i % 100 === 99) {
      stack.workers[0].look();
      t.diagnostic(`${i + 1} sessions, ${((Date.now() - begun) / (i + 1)).toFixed(0)} ms each`);
    }
  }
  assert.equal(secrets.size, MANY, 'no address was given twice');
  await quiet(stack);
  assert.equal((await stack.sessions('ended')).length, MANY);
});

test('10 at once, by Playwright, three times over', { timeout: 300000 }, async (t) => {
  const stack = await startStack(t, { workers: [{ env: driver }] });
  for (let round = 0; round < 3; round++) {
    await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const session = await create(stack);
        const { title } = await withPlaywright(session.connectUrl, `data:text/html,<title>at once ${round} ${i}</title>`);
        assert.equal(title, `at once ${round} ${i}`);
        assert.ok((await stack.request('DELETE', `/v1/sessions/${session.id}`)).status < 300);
      }),
    );
    stack.workers[0].look();
  }
  await quiet(stack);
});

test('more clients than berths: they wait their turn and all are served', { timeout: 300000 }, async (t) => {
  const stack = await startStack(t, { workers: [{ env: { ...driver, BERTH_BERTHS: 3, BERTH_WARM: 2 } }] });
  await Promise.all(Array.from({ length: 12 }, (_, i) => use(stack, i)));
  await quiet(stack);
});
