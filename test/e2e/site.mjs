// A small web site on the test's own host, and the three ways in which clients use a browser on it.
import http from 'node:http';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';

/** Serves one page on 127.0.0.1 that berths with egress to `host` reach as host.berth.internal: { url, hits, port }. */
export async function startSite(t) {
  const site = { hits: [] };
  const server = http.createServer((request, response) => {
    site.hits.push({ url: request.url, host: request.headers.host, cookie: request.headers.cookie });
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.setHeader('set-cookie', 'seen=1');
    response.end(
      `<!doctype html><title>Berth test ${request.url}</title><h1>hello</h1>` +
        `<button onclick="document.querySelector('h1').textContent='clicked'">press</button>`,
    );
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  site.port = server.address().port;
  site.url = `http://host.berth.internal:${site.port}`;
  return site;
}

/** Playwright over CDP: goes to url, presses the button, returns what it saw; leaves the connection to the caller. */
export async function withPlaywright(connectUrl, url, { close = true } = {}) {
  const browser = await chromium.connectOverCDP(connectUrl, { timeout: 60000 });
  try {
    const context = browser.contexts()[0];
    const page = context.pages()[0] ?? (await context.newPage());
    await page.goto(url, { timeout: 60000 });
    const title = await page.title();
    if (!url.startsWith('data:')) {
      await page.click('button');
      await page.waitForFunction(() => document.querySelector('h1').textContent === 'clicked');
    }
    return { title, version: browser.version(), browser: close ? undefined : browser };
  } finally {
    if (close) await browser.close();
  }
}

/** Puppeteer: the same. */
export async function withPuppeteer(browserWSEndpoint, url) {
  const browser = await puppeteer.connect({ browserWSEndpoint, defaultViewport: null });
  try {
    const page = (await browser.pages())[0] ?? (await browser.newPage());
    await page.goto(url, { timeout: 60000 });
    const title = await page.title();
    if (!url.startsWith('data:')) {
      await page.click('button');
      await page.waitForFunction(() => document.querySelector('h1').textContent === 'clicked');
    }
    return { title, version: await browser.version() };
  } finally {
    await browser.disconnect();
  }
}
