// The tests that every driver has to pass, over a file's stack (driver_file.mjs). What only one driver has is in its own file;
// what all microVMs have, in microvm_suite.mjs; many sessions while workers are killed, in many_sessions.mjs.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { waitFor } from './harness.mjs';
import { openPage } from './cdp.mjs';
import { descendants, processes } from './host.mjs';

export function driverSuite(file) {
  const { driver } = file;

  test(`${driver}: a warm browser is claimed, and works`, file.test, async (t) => {
    await file.warm();
    const record = await file.worker.record();
    assert.equal(record.driver, driver);
    const session = await file.create(t);
    const fields = await file.stack.session(session.id);
    assert.equal(fields.warm, '1', 'it was up before the session asked');
    assert.ok(JSON.parse(fields.timings).totalMs > 0, fields.timings);
    t.diagnostic(`isolation ${JSON.parse(record.info).isolation}; start ${fields.timings}`);
    const cdp = await file.cdp(session);
    assert.ok((await cdp.send('Browser.getVersion')).product);
    cdp.drop();
    await t.test("Playwright, and a page's script", { skip: file.noPages }, async () => {
      const { browser, page } = await file.connect(session);
      await page.goto(`${file.site.url}/${driver}`);
      assert.equal(await page.title(), `Berth test /${driver}`);
      await page.click('button');
      assert.equal(await page.textContent('h1'), 'clicked');
      const seen = await page.evaluate(async (n) => {
        const answer = await fetch('/again');
        return { n: n * 7, ok: answer.ok, cookie: document.cookie };
      }, 6);
      assert.deepEqual(seen, { n: 42, ok: true, cookie: 'seen=1' });
      await browser.close();
    });
    assert.equal((await file.release(session)).reason, 'released');
    await file.atRest();
  });

  test(`${driver}: sessions end by their lifetime and by idling, at the worker's own clock`, file.test, async (t) => {
    const limits = { timeout: { timeoutSec: 2 }, idle: { idleTimeoutSec: 2 } };
    const waits = Object.entries(limits).map(async ([reason, limit]) => {
      // Not waited for: it may be over before a busy machine's API has said that it runs.
      const { status, body, text } = await file.stack.request('POST', '/v1/sessions?wait=0', { keepAlive: true, ...limit });
      assert.ok(status === 201 || status === 202, text);
      t.after(() => file.stack.request('DELETE', `/v1/sessions/${body.id}`));
      await waitFor(async () => (await file.stack.session(body.id)).state !== 'starting', { timeout: file.start, what: `${body.id} to run` });
      assert.equal((await file.ended(body)).reason, reason);
    });
    await Promise.all(waits);
    await file.atRest();
  });

  test(`${driver}: a browser that is killed ends its session with the reason, and its place is clean`, file.test, async (t) => {
    await file.warm();
    const session = await file.create(t);
    const cdp = await file.cdp(session);
    const victim = file.browserOf(session);
    const were = [victim, ...descendants(victim.pid)];
    process.kill(victim.pid, 'SIGKILL');
    assert.equal((await cdp.closed).code, 4004);
    assert.equal((await file.ended(session)).reason, 'browser_crashed');
    await file.atRest();
    const all = processes();
    const still = were.filter(({ pid, start }) => all.get(pid)?.start === start);
    assert.deepEqual(still, [], 'processes of a browser that outlived their session');
    const next = await file.create(t);
    const again = await file.cdp(next);
    assert.ok((await again.send('Browser.getVersion')).product);
    await t.test('nothing of another session is in the next one', { skip: file.noPages }, async () => {
      const hits = file.site.hits.length;
      await openPage(again, `${file.site.url}/next`);
      assert.equal(file.site.hits[hits].cookie, undefined);
    });
    again.drop();
    await file.release(next);
    await file.atRest();
  });

  test(`${driver}: kill -9 of the worker: nothing of it runs on; its next start takes away the rest, and serves`, file.test, async (t) => {
    const { worker } = file;
    await file.warm();
    const before = await file.things();
    assert.ok(before['network namespace'] > 0 && before['nft: table'] === 1, `the inventory sees what there is: ${JSON.stringify(before)}`);
    t.diagnostic(JSON.stringify(before));
    const session = await file.create(t);
    const cdp = await file.cdp(session);
    await worker.kill();
    assert.deepEqual(await worker.left({ things: false, timeout: file.budget }), [], 'processes of a worker that was killed');
    await cdp.closed;
    await worker.start();
    assert.equal((await file.ended(session)).reason, 'worker_lost');
    await file.warm();
    await file.has(before);
  });

  test(`${driver}: drain, and SIGTERM: warm browsers go, sessions stay until their time is up, nothing is left`, file.test, async (t) => {
    const { worker, stack } = file;
    await file.warm();
    const session = await file.create(t);
    const cdp = await file.cdp(session);
    assert.equal((await stack.script('drain', worker.id, 'drain', '', 'spread'))[0], 'ok');
    await waitFor(
      async () => {
        const { warm, starting, cleaning } = await worker.record();
        return Number(warm) + Number(starting) + Number(cleaning) === 0;
      },
      { timeout: file.start, what: 'the warm browsers to go' },
    );
    assert.ok((await cdp.send('Browser.getVersion')).product, 'the session goes on');
    const { code, forced } = await worker.term(file.budget);
    assert.deepEqual([code, forced], [0, false]);
    await cdp.closed;
    assert.equal((await stack.session(session.id)).reason, 'drained');
    assert.deepEqual(await worker.left({ timeout: file.budget }), []);
    await worker.start();
    await file.warm();
  });
}
