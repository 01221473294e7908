// What real browsers of the process driver cost their host: memory of a warm one, of one with a page, and CPU of a browser's whole
// life, from its start and warm-up to the release, as the kernel counts it for its processes.
import { fork } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { takeSlot } from '../../test/e2e/host.mjs';
import { waitFor } from '../../test/e2e/program.mjs';
import { create } from './connections.mjs';
import { ControlPlane, cpuSeconds } from './control_plane.mjs';
import { below, cpuBelowMs } from './machine.mjs';
import { quantile } from './stats.mjs';

const SITE = fileURLToPath(new URL('../arena/site.mjs', import.meta.url));
const BROWSERS = 4;

/** Kilobytes of all processes below a pid, shared pages by halves and thirds (PSS), so that sums are right. */
function memoryBelowKb(pid) {
  let sum = 0;
  for (const child of below(pid)) {
    try {
      sum += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${child}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch {
      // gone while we looked
    }
  }
  return sum;
}

async function visit(session, url) {
  const browser = await chromium.connectOverCDP(session.connectUrl);
  const context = browser.contexts()[0] ?? (await browser.newContext());
  const page = context.pages()[0] ?? (await context.newPage());
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  return browser;
}

/** A plane with so many real browsers, all warm: { plane, worker, url, warm(), stop() }. */
async function withBrowsers(berths) {
  const plane = new ControlPlane();
  const slot = takeSlot();
  const site = fork(SITE);
  const stop = async () => {
    await plane.stop();
    site.disconnect();
    slot.free();
  };
  try {
    const { port } = await new Promise((done) => site.once('message', done));
    await plane.startRedis();
    await plane.startApi();
    const settings = { BERTH_DRIVER: 'process', BERTH_UID_BASE: slot.uidBase, BERTH_NET: slot.net, BERTH_EGRESS_ALLOW: 'host', BERTH_SIM_WORKERS: 1 };
    const worker = await plane.startWorkers({ workers: 1, berths, settings: { ...settings, BERTH_WORKER_ID: `bench-${process.pid}` } });
    const full = async () => (await plane.redis.zcard(plane.key('warm:default'))) === berths;
    const warm = () => waitFor(full, { timeout: 60000, every: 50, what: 'warm browsers' });
    return { plane, worker, url: `http://host.berth.internal:${port}/`, warm, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function memory(berths, rest) {
  const { plane, worker, url, stop } = await withBrowsers(berths);
  try {
    await rest.pause();
    const warmKb = memoryBelowKb(worker.pid) / berths;
    for (let i = 0; i < berths; i++) await visit(await create(plane), url);
    await rest.pause();
    const pageKb = memoryBelowKb(worker.pid) / berths;
    const [cpu, begun] = [cpuBelowMs(worker.pid), performance.now()];
    await new Promise((done) => setTimeout(done, 5000));
    return { warmKb, pageKb, restingShare: (cpuBelowMs(worker.pid) - cpu) / (performance.now() - begun) / berths };
  } finally {
    await stop();
  }
}

/** With one berth, all that is below the worker is that session's: what it has used in its life, just before it is released. */
async function cpu(sessions, rest) {
  const { plane, worker, url, warm, stop } = await withBrowsers(1);
  const lives = [];
  try {
    const own = cpuSeconds(worker.pid);
    for (let i = 0; i < sessions; i++) {
      await warm();
      await rest.pause();
      const session = await create(plane);
      const browser = await visit(session, url);
      lives.push(cpuBelowMs(worker.pid) / 1000);
      await fetch(`http://127.0.0.1:${plane.port}/v1/sessions/${session.id}`, { method: 'DELETE' });
      await browser.close();
    }
    return { sessions, cpuASession: quantile(lives, 0.5), workerCpuASession: (cpuSeconds(worker.pid) - own) / sessions };
  } finally {
    await stop();
  }
}

export async function browserCosts(sessions, rest) {
  return { browsers: BROWSERS, ...(await memory(BROWSERS, rest)), ...(await cpu(sessions, rest)) };
}
