// What every microVM driver has to show beside driver_suite.mjs, over the same file's stack: clones of one snapshot are told apart,
// a snapshot is built once and used again, one that does not fit is refused, warm clones may be kept paused. Runs after
// driverSuite, which has killed and started the worker.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { cpSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startStack } from './harness.mjs';
import { openPage } from './cdp.mjs';

const CLOCK_OFF = 10000; // a guest that gets little CPU sets its clock late

/** By how much the guest's clock is off, beyond what the asking took. */
async function clockError(page) {
  const before = Date.now();
  const there = await page.evaluate('Date.now()');
  return Math.max(before - there, there - Date.now(), 0);
}

/** What a page's script finds that should be its alone. */
function draw(page) {
  return page.evaluate(() => ({
    values: Array.from(crypto.getRandomValues(new Uint8Array(32))).join(),
    uuid: crypto.randomUUID?.() ?? URL.createObjectURL(new Blob()), // no randomUUID where the context is not secure; the same generator
    math: [Math.random(), Math.random(), Math.random()].join(),
  }));
}

/** The text of a file of the guest, read by a navigation. */
async function guestFile(page, path) {
  await page.goto(`file://${path}`);
  return page.evaluate(() => document.body.innerText.trim());
}

/** A session of its own, and what its guest is and draws, as a page's script finds it. */
async function lookAtPages(file, t) {
  const session = await file.create(t);
  const { browser, page } = await file.connect(session);
  assert.equal(browser.contexts()[0].pages().length, 1, 'the page of the snapshot is gone');
  const seen = { first: await draw(page) };
  const off = await clockError(page);
  const other = await browser.contexts()[0].newPage();
  other.setDefaultTimeout(file.budget);
  other.setDefaultNavigationTimeout(file.budget);
  seen.newPage = await draw(other);
  seen.ids = { machine: await guestFile(other, '/etc/machine-id'), boot: await guestFile(other, '/proc/sys/kernel/random/boot_id') };
  seen.newPageNavigated = await draw(other);
  await page.goto(`${file.site.url}/vm`);
  seen.navigated = await draw(page);
  return { session, page, seen, off, close: () => browser.close() };
}

/** state(): the folder that its workers have in BERTH_STATE. misfit(json): the text of snapshot.json for a version of the machine
 * monitor that this one is not. look(file, t): a session and what there is of it that no other clone may have: { session, seen:
 * { where: { what: value } }, off: by how many ms its clock is, page, close() }. */
export function microvmSuite(file, { state, misfit, look = lookAtPages }) {
  const { driver } = file;
  const snapshots = () => readdirSync(join(state(), 'snapshots')).filter((name) => !name.startsWith('.'));

  test(`${driver}: two clones of one snapshot share nothing that should be random, and reach nothing that they should not`, file.test, async (t) => {
    await file.warm();
    const a = await look(file, t);
    const b = await look(file, t);
    for (const { off } of [a, b]) assert.ok(off < CLOCK_OFF, `the clock is off by ${off} ms`);
    for (const [where, drawn] of Object.entries(a.seen)) {
      for (const [what, value] of Object.entries(drawn)) {
        assert.ok(value, `${where} has no ${what}`);
        assert.notEqual(value, b.seen[where][what], `${what} of ${where}`);
      }
    }
    // What a guest is kept from, although its network has a way out.
    await t.test('what a page cannot reach', { skip: file.noPages }, async () => {
      for (const url of ['http://172.31.255.2:9223/json/version', 'http://169.254.169.254/']) {
        const answer = await a.page.evaluate((u) => fetch(u, { mode: 'no-cors' }).then(() => 'reached', () => 'refused'), url);
        assert.equal(answer, 'refused', url);
      }
    });
    for (const { close, session } of [a, b]) {
      await close();
      await file.release(session);
    }
  });

  test(`${driver}: a worker that starts again uses the snapshot that is there`, file.test, async () => {
    const { worker } = file;
    const before = snapshots();
    assert.equal(before.length, 1);
    if (file.stack.programs.filter(({ name }) => name === worker.name).length < 2) await worker.restart();
    await worker.logged(/snapshot_ready .*working_set_pages=[1-9]/, file.budget); // its first clone recorded the working set
    await file.warm();
    assert.deepEqual(snapshots(), before);
    assert.ok(!worker.log.some((line) => /snapshot_build\b/.test(line)), 'it was built again'); // the log of its last start
  });

  test(`${driver}: warm clones may be kept paused: the first connection wakes them, with the right time`, file.test, async (t) => {
    const other = await startStack(t, {
      wait: false,
      env: file.api,
      workers: [{ env: file.workerEnv({ BERTH_VM_WARM: 'paused', BERTH_BERTHS: 1 }), traces: file.traces?.() }],
    });
    await other.apis[0].ready(file.budget);
    await file.warm(1, other.workers[0]);
    await new Promise((resolve) => setTimeout(resolve, 1.2 * CLOCK_OFF)); // what is measured is that time passes for a guest that stands still
    const session = await file.create(null, {}, other);
    const cdp = await file.cdp(session, other);
    const error = await clockError(await openPage(cdp, 'about:blank'));
    assert.ok(error < CLOCK_OFF, `the clock is off by ${error} ms`);
    cdp.drop();
    await file.release(session, other);
  });

  test(`${driver}: a snapshot that does not fit is refused, with the reason, and made anew`, file.test, async () => {
    const { worker } = file;
    if (worker.running) await worker.term(file.budget);
    const path = join(state(), 'snapshots', snapshots()[0], 'snapshot.json');
    const text = readFileSync(path, 'utf8');
    const other = misfit(text);
    assert.notEqual(other, text);
    writeFileSync(path, other);
    await worker.start();
    await worker.logged(/snapshot_refused.*/, file.start);
    await file.warm();
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).identity, JSON.parse(text).identity);
    // The same content in another folder, under a worker that runs: it is noticed, and nothing of the old one is used.
    const folder = dirname(path);
    cpSync(folder, `${folder}.copy`, { recursive: true });
    renameSync(folder, join(state(), 'snapshots', '.old'));
    renameSync(`${folder}.copy`, folder);
    await file.release(await file.create());
    const [lost] = await worker.logged(/snapshot_lost.*/, file.budget);
    assert.match(lost, /was replaced/);
    await file.warm();
  });
}
