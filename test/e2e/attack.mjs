// A hostile client with all of CDP, and the pages it loads, against a driver: it must reach nothing that is not its own, what it uses
// up must have a bound, and the sessions beside it and the worker must go on. Where a refusal is what is expected, the same attempt
// is also made where it has to succeed, so that a broken probe does not pass for isolation.
//
// That others go on is judged by their answering, never by how fast; waits are for conditions.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startStack, fileScope, waitFor, pause } from './harness.mjs';
import { processes } from './host.mjs';
import { Cdp } from './cdp.mjs';
import { addressesOf, inTime, serveInside, startHeld, startTargets, INSIDE_PORT } from './attack_targets.mjs';

const MEMORY_MB = 512;
const PIDS = 200;
const SHM_MB = 64;

/** env(scope): of the worker. guest: the browser runs in a guest, under an emulator perhaps: everything takes long, little is asked, and what
 * a guest does to itself is its own. */
export function attackSuite({ driver, skip, env = () => ({}), api = {}, guest = false, berths = 3, profile = {} }) {
  const limits = { driver, memoryMb: MEMORY_MB, ...(guest ? {} : { pids: PIDS, shmMb: SHM_MB, tmpMb: 128 }), ...profile };
  const BUDGET = guest ? 240000 : 60000;
  const timeout = guest ? 900000 : 300000;
  const notInGuests = skip || (guest && 'a guest has this to itself');
  const scope = fileScope();
  let targets, hits, stack, worker;

  before(async () => {
    if (skip) return;
    targets = await startTargets(scope);
    hits = targets.hits;
    const profiles = join(targets.dir, 'profiles.json');
    // The open profile shows that probes can reach what they look for.
    const open = { ...limits, name: 'open', warm: 0, egressAllow: ['host', '0.0.0.0/0'] };
    writeFileSync(profiles, JSON.stringify({ profiles: [{ ...limits, name: 'default', warm: 1 }, open] }));
    const settings = { BERTH_DRIVER: driver, BERTH_BERTHS: berths, BERTH_WARM: 1, ...env(scope), BERTH_PROFILES: profiles };
    stack = await startStack(scope, { wait: false, env: api, workers: [{ env: settings }] });
    worker = stack.workers[0];
    await worker.ready({ warm: 1, timeout: 2 * BUDGET });
    await stack.apis[0].ready(BUDGET);
  });

  // ---- sessions and pages ----

  async function open(t, body = {}) {
    const { status, body: session, text } = await stack.request('POST', '/v1/sessions', { idleTimeoutSec: 0, keepAlive: true, ...body });
    assert.equal(status, 201, text);
    t.after(() => stack.request('DELETE', `/v1/sessions/${session.id}`));
    return { ...session, cdp: await Cdp.open(session.connectUrl, { handshakeTimeout: BUDGET }), berth: Number((await stack.session(session.id)).berth) };
  }

  async function openPage({ cdp }, url = 'about:blank') {
    const { targetId } = await cdp.send('Target.createTarget', { url });
    const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
    const send = (method, params) => cdp.send(method, params, sessionId);
    return {
      send,
      go: (to) => send('Page.navigate', { url: to }).then(({ errorText }) => errorText ?? 'loaded'),
      async evaluate(expression) {
        const { result, exceptionDetails: e } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
        if (e) throw new Error(e.exception?.description ?? e.text);
        return result.value;
      },
    };
  }

  /** The promise's value, or what if it takes longer than ms or fails: attacks need not come back. */
  const within = (promise, ms, what = 'no answer') => {
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, ms, what)));
    return Promise.race([promise.catch((error) => error.message), late]).finally(() => clearTimeout(timer)); // it would keep this process
  };

  /** Answers every request of the page itself, so that it has a secure origin of any name without a network. */
  async function serve(session, page, html) {
    await page.send('Fetch.enable');
    session.cdp.ws.on('message', (text) => {
      const { method, params, sessionId } = JSON.parse(text);
      if (method !== 'Fetch.requestPaused') return;
      const script = params.request.url.endsWith('.js');
      const responseHeaders = [{ name: 'content-type', value: script ? 'text/javascript' : 'text/html' }];
      const body = Buffer.from(script ? 'setInterval(() => {}, 1)' : html).toString('base64');
      const answer = { requestId: params.requestId, responseCode: 200, responseHeaders, body };
      session.cdp.send('Fetch.fulfillRequest', answer, sessionId).catch(() => {});
    });
  }

  /** Ends the session; it must become clean, and its client must hear of it, whatever it was doing. */
  async function end(session, limit = BUDGET) {
    const { status } = await stack.request('DELETE', `/v1/sessions/${session.id}`);
    assert.equal(status, 204);
    const { code } = await within(session.cdp.closed, limit, {});
    assert.equal(code, 1000, 'the client gets its close frame');
    await clean(session, limit);
  }

  const clean = (session, timeout = BUDGET) =>
    waitFor(async () => (await stack.session(session.id)).state === 'ended' && Number((await worker.record()).cleaning) === 0, {
      timeout,
      what: `the end of ${session.id}`,
    });

  // ---- the sessions beside ----

  const workerKb = () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${worker.pid}/status`, 'utf8'))[1]);

  /** Processes and threads of the berth's user. */
  function tasks(session) {
    let count = 0;
    for (const { pid, uids } of processes().values()) {
      if (!uids.includes(worker.slot.uidBase + session.berth)) continue;
      try {
        count += readdirSync(`/proc/${pid}/task`).length;
      } catch {
        // it has just ended
      }
    }
    return count;
  }

  /** Runs attack(session, page) beside a neighbour, who must go on, as must the API and the worker's memory. */
  async function beside(t, attack) {
    const neighbour = await open(t);
    const other = await openPage(neighbour, 'data:text/html,<h1>neighbour</h1>');
    const session = await open(t);
    const memory = workerKb();
    await attack(session, await openPage(session));
    for (let i = 0; i < 10; i++) assert.equal(await inTime(other.evaluate(`${i} + 1`), "the neighbour's answer", BUDGET), i + 1);
    t.diagnostic(`worker +${workerKb() - memory} kB`);
    assert.ok(workerKb() - memory < 64 * 1024, `the worker grew by ${workerKb() - memory} kB`);
    assert.equal((await inTime(stack.request('GET', '/readyz'), 'the API', BUDGET)).status, 200);
    await end(session);
    assert.equal(await inTime(other.evaluate('document.body.innerText'), "the neighbour's page", BUDGET), 'neighbour');
    await end(neighbour);
  }

  // ---- the network ----

  /** What a page gets from host:port by navigation, by the browser's own loader and by WebSocket. */
  async function probe(page, where) {
    const { frameTree } = await page.send('Page.getFrameTree');
    const url = `http://${where}/json/version`;
    const found = [await within(page.go(url), BUDGET)];
    const options = { disableCache: true, includeCredentials: true };
    const loader = page.send('Network.loadNetworkResource', { frameId: frameTree.frame.id, url, options });
    found.push(await within(loader.then(({ resource: r }) => r.netErrorName ?? `loaded ${r.httpStatusCode}`), BUDGET));
    await page.go('about:blank');
    const socket = `new Promise((done) => { const s = new WebSocket('ws://${where}/'); s.onopen = () => done('loaded'); s.onerror = () => done('refused'); })`;
    found.push(await within(page.evaluate(socket), BUDGET));
    return found;
  }

  /** The quiet ways, all places at once: fetch, beacon, image, script, worker, event stream. Returns what the fetches came to. */
  const quietly = (page, places) =>
    within(
      page.evaluate(`(async () => {
        const urls = ${JSON.stringify(places)}.map((where) => 'http://' + where + '/');
        for (const url of urls) {
          navigator.sendBeacon(url, 'x');
          new Image().src = url;
          document.head.append(Object.assign(document.createElement('script'), { src: url }));
          new EventSource(url).onerror = (event) => event.target.close();
          new Worker(URL.createObjectURL(new Blob(["fetch('" + url + "', { mode: 'no-cors' }).catch(() => {})"])));
        }
        return Promise.all(urls.map((url) => fetch(url, { mode: 'no-cors' }).then(() => 'loaded ' + url, () => 'refused')));
      })()`),
      BUDGET,
      ['no answer'],
    );

  /** By the client's own means: a proxy of its choice, a request that it redirects or rewrites. Resolves with what came of each. */
  async function detours({ cdp }, where) {
    const found = {};
    for (const proxyServer of [`http://${where}`, `socks5://${where}`]) {
      const { browserContextId } = await cdp.send('Target.createBrowserContext', { proxyServer, proxyBypassList: '<-loopback>' });
      const { targetId } = await cdp.send('Target.createTarget', { url: 'about:blank', browserContextId });
      const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
      const { errorText } = await inTime(cdp.send('Page.navigate', { url: 'http://attack.example/' }, sessionId), `a page by ${proxyServer}`, BUDGET);
      found[proxyServer] = errorText ?? 'loaded';
      await cdp.send('Target.disposeBrowserContext', { browserContextId });
    }
    const onRequest = async (change) => {
      const { targetId } = await cdp.send('Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
      await cdp.send('Fetch.enable', {}, sessionId);
      const listen = (text) => {
        const message = JSON.parse(text);
        if (message.method !== 'Fetch.requestPaused' || message.sessionId !== sessionId) return;
        const { requestId, request } = message.params;
        const how = request.url.includes('attack.example') ? change(requestId) : ['Fetch.continueRequest', { requestId }];
        cdp.send(...how, sessionId).catch(() => {});
      };
      cdp.ws.on('message', listen);
      const { errorText } = await inTime(cdp.send('Page.navigate', { url: 'http://attack.example/' }, sessionId), 'a changed request', BUDGET);
      cdp.ws.off('message', listen);
      await cdp.send('Target.closeTarget', { targetId });
      return errorText ?? 'loaded';
    };
    const url = `http://${where}/`;
    found.redirect = await onRequest((requestId) => ['Fetch.fulfillRequest', { requestId, responseCode: 302, responseHeaders: [{ name: 'location', value: url }] }]);
    found.rewritten = await onRequest((requestId) => ['Fetch.continueRequest', { requestId, url }]);
    return found;
  }

  /** Has the page send UDP to each address (STUN by WebRTC, QUIC by WebTransport), and what WebRTC sends by TCP (TURN). Resolves with
   * the packets' counts when each kind has come out of the berth; what goes to the berth's own loopback does not. */
  async function sendUdp(session, page, addresses) {
    const before = await targets.packets.counts();
    await serve(session, page, 'attack');
    await page.go('https://attack.example/');
    await waitFor(() => page.evaluate('isSecureContext && document.readyState === "complete" && typeof WebTransport === "function"'), { timeout: BUDGET, what: 'a secure page' });
    const list = JSON.stringify(addresses);
    await page.evaluate(`(async () => {
      ${list}.forEach((host) => new WebTransport('https://' + host + ':${targets.udpPort}/').ready.catch(() => {}));
      const iceServers = ${list}.flatMap((host) => [{ urls: 'stun:' + host + ':${targets.udpPort}' },
        { urls: 'turn:' + host + ':${targets.tcpPort}?transport=tcp', username: 'x', credential: 'x' }]);
      const peer = new RTCPeerConnection({ iceServers });
      peer.createDataChannel('x');
      await peer.setLocalDescription();
    })()`);
    for (const kind of ['udp_host', 'udp_beyond', 'tcp_host']) await targets.packets.arrived(kind, before, BUDGET);
    return targets.packets.counts();
  }

  test(`${driver}: a page reaches neither the host, nor private addresses, nor its own debugging port`, { skip, timeout }, async (t) => {
    const session = await open(t);
    const page = await openPage(session);
    const before = { ...hits };
    const { passed } = await targets.packets.counts();
    const { host, self } = addressesOf(worker, session.berth);
    const port = targets.tcpPort;
    const beyond = targets.beyond.addresses.map((address) => `${address}:${INSIDE_PORT}`);
    const few = [`${host}:${port}`, beyond[0], '127.0.0.1:9222'];
    // A guest's namespace is this side of its card, with something in it to be reached.
    const inside = guest ? await serveInside(t, stack, worker, session.berth) : null;
    const places = guest ? [...few, `172.31.255.1:${INSIDE_PORT}`, '172.31.255.2:9223', `host.berth.internal:${port}`] : [
      ...few, ...beyond.slice(1), `host.berth.internal:${port}`, `127.0.0.1:${port}`, `localhost:${port}`, `0.0.0.0:${port}`,
      `[::1]:${targets.tcp6Port ?? port}`, `[::ffff:${host}]:${port}`, `127.0.0.1:${worker.port}`, `${host}:${worker.port}`,
      `${host}:${stack.apis[0].port}`, `${self}:9222`, '169.254.169.254:80', '2852039166:80',
    ]; // prettier-ignore
    for (const place of guest ? places.slice(3, 4) : places) {
      for (const found of await probe(page, place)) assert.match(found, /^(net::ERR_|refused)/, place);
    }
    assert.deepEqual((await quietly(page, places)).filter((found) => found !== 'refused'), []);
    for (const where of guest ? few.slice(0, 1) : few) {
      for (const [how, found] of Object.entries(await detours(session, where))) assert.match(found, /^net::ERR_/, `${how} to ${where}`);
    }
    assert.deepEqual((await sendUdp(session, page, ['127.0.0.1', host, targets.beyond.addresses[0]])).passed, passed, 'past the rules');
    assert.deepEqual(hits, before, 'something came out');
    await inside?.kill();
    await end(session);

    const allowed = await open(t, { runtimeProfile: 'open' });
    const way = await openPage(allowed);
    assert.deepEqual(await probe(way, `host.berth.internal:${port}`), ['loaded', 'loaded 200', 'refused'], 'the probe works');
    await waitFor(() => hits.tcp >= before.tcp + 3, { timeout: BUDGET, what: 'each of them to be seen' }); // a page may give up a connection before it is taken
    assert.equal(await way.go(`http://${beyond[0]}/`), 'loaded', 'the private network is there');
    assert.deepEqual(await quietly(way, [`host.berth.internal:${port}`]), [`loaded http://host.berth.internal:${port}/`]);
    for (const [how, found] of guest ? [] : Object.entries(await detours(allowed, beyond[0]))) {
      if (!how.startsWith('socks5')) assert.equal(found, 'loaded', `${how} works where it is allowed`);
    }
    const counts = await sendUdp(allowed, way, [addressesOf(worker, allowed.berth).host, targets.beyond.addresses[0]]);
    for (const kind of ['udp_host', 'udp_beyond', 'tcp_host']) assert.ok(counts.passed[kind] > passed[kind], `${kind} passes where it is allowed`);
    await waitFor(() => hits.udp > before.udp, { timeout: BUDGET, what: 'UDP where it is allowed' });
    if (!guest) assert.match((await probe(await openPage(allowed), '127.0.0.1:9222'))[0], /^net::ERR_/, 'its own debugging port stays closed');
    await end(allowed);
  });

  test(`${driver}: a page reaches no other berth, whatever its profile allows`, { skip, timeout }, async (t) => {
    const victim = await open(t);
    const attacker = await open(t, { runtimeProfile: 'open' });
    const server = await serveInside(t, stack, worker, victim.berth);
    // A guest has a loopback of its own.
    if (!guest) assert.equal(await (await openPage(victim)).go('http://127.0.0.1:8080/'), 'loaded', 'the server is there');
    const page = await openPage(attacker);
    for (const port of guest ? [8080] : [8080, 9222]) {
      for (const found of await probe(page, `${addressesOf(worker, victim.berth).self}:${port}`)) assert.match(found, /^(net::ERR_|refused)/);
    }
    await server.kill();
  });

  // ---- files, and what other sessions left ----

  test(`${driver}: a client reads no file of the host and writes only to its own /tmp`, { skip, timeout }, async (t) => {
    const { secret } = targets;
    const session = await open(t);
    const page = await openPage(session);
    if (guest) {
      // Its files are its image's; what is the host's is not there under any name.
      for (const file of [secret, `/proc/1/root${secret}`, '/proc/1/root/', '/etc/shadow', '/sys/firmware/qemu_fw_cfg/by_name/']) {
        assert.match(await inTime(page.go(`file://${file}`), file, BUDGET), /^net::ERR_(FILE_NOT_FOUND|ACCESS_DENIED)/, file);
      }
      return end(session);
    }
    assert.equal(await page.go('file:///etc/passwd'), 'loaded');
    // The jail's has one line; a container's and a guest's are their image's, without the users of this host.
    const passwd = driver === 'process' ? /^berth:x:1000:1000:[^\n]*\n?$/ : /^root:.:0:0:(?![^]*redis)/;
    await waitFor(async () => passwd.test((await page.evaluate('document.body.innerText')).trim()), { timeout: BUDGET, what: "the berth's own /etc/passwd" });
    const files = [secret, `/proc/1/root${secret}`, `/proc/self/cwd/..${secret}`, '/etc/shadow', '/proc/1/root/etc/shadow', '/etc/machine-id'];
    const folders = driver === 'process' ? ['/root/', '/home/', '/sys/'] : ['/home/berth/', '/sys/class/', '/var/run/docker.sock', '/run/docker.sock'];
    for (const file of [...files, ...folders, '/run/berth/', '/dev/mem', '/dev/kmsg']) {
      assert.match(await page.go(`file://${file}`), /^net::ERR_(FILE_NOT_FOUND|ACCESS_DENIED)/, file);
    }
    await page.go('data:text/html,<input type=file>');
    // A navigation is answered when it commits: the document may still be on its way, and a node's id dies with
    // each "the document has changed"; a handle on the element does not.
    await waitFor(() => page.evaluate(`document.readyState === 'complete' && !!document.querySelector('input')`), { timeout: BUDGET, what: 'the input' });
    const { result: input } = await page.send('Runtime.evaluate', { expression: `document.querySelector('input')` });
    const read = async (file) => {
      await page.send('DOM.setFileInputFiles', { objectId: input.objectId, files: [file] });
      return page.evaluate(`document.querySelector('input').files[0].text().catch((error) => 'no: ' + error.name)`);
    };
    assert.match(await read('/etc/passwd'), passwd);
    for (const file of files) assert.match(await read(file), /^no: NotFoundError/, file);

    const download = async (downloadPath) => {
      await session.cdp.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath, eventsEnabled: true });
      const state = new Promise((resolve) => {
        session.cdp.ws.on('message', (text) => {
          const { method, params } = JSON.parse(text);
          if (method === 'Browser.downloadProgress' && params.state !== 'inProgress') resolve(params.state);
        });
      });
      await page.evaluate(`Object.assign(document.createElement('a'), { href: URL.createObjectURL(new Blob(['x'])), download: 'x.txt' }).click()`);
      return within(state, BUDGET);
    };
    assert.equal(await download('/tmp/downloads'), 'completed');
    for (const folder of ['/', '/etc', '/usr/local', '/dev', '/run', '/proc/sys/kernel', '/tmp/../etc']) assert.equal(await download(folder), 'canceled', folder);
    await end(session);
  });

  test(`${driver}: nothing of a session is seen by another one, beside it or after it in its berth`, { skip, timeout }, async (t) => {
    const visit = async (session) => {
      const page = await openPage(session);
      await serve(session, page, '<h1>shop</h1>');
      await page.go('https://shop.example/');
      await waitFor(() => page.evaluate('location.host === "shop.example" && document.readyState === "complete"'), { timeout: BUDGET, what: 'the page' });
      return page;
    };
    const look = `(async () => [document.cookie, localStorage.length, (await caches.keys()).length, (await indexedDB.databases()).length,
      (await navigator.serviceWorker.getRegistrations()).length])()`;
    const nothing = ['', 0, 0, 0, 0];
    const first = await open(t);
    const page = await visit(first);
    assert.deepEqual(await page.evaluate(look), nothing);
    await page.evaluate(`(async () => {
      document.cookie = 'login=1; max-age=99999'; localStorage.left = 1;
      await (await caches.open('left')).put('/y', new Response('left'));
      await new Promise((done) => (indexedDB.open('left').onsuccess = done));
    })()`);
    assert.deepEqual((await page.evaluate(look)).slice(0, 4), ['login=1', 1, 1, 1]);
    await first.cdp.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: '/dev/shm', eventsEnabled: true });
    await page.evaluate(`Object.assign(document.createElement('a'), { href: URL.createObjectURL(new Blob(['x'])), download: 'left.txt' }).click()`);
    const left = await openPage(first);
    await waitFor(async () => (await left.go('file:///dev/shm/left.txt')) === 'loaded', { timeout: BUDGET, what: 'the download' });
    const second = await open(t);
    assert.deepEqual(await (await visit(second)).evaluate(look), nothing, 'beside');
    assert.match(await (await openPage(second)).go('file:///dev/shm/left.txt'), /^net::ERR_FILE_NOT_FOUND/);
    await end(second);
    await end(first);
    // Every berth, the first one's too.
    const next = [];
    for (let i = 0; i < berths; i++) next.push(await open(t));
    assert.ok(next.some(({ berth }) => berth === first.berth));
    for (const session of next) {
      assert.deepEqual(await (await visit(session)).evaluate(look), nothing, `berth ${session.berth}`);
      assert.match(await (await openPage(session)).go('file:///dev/shm/left.txt'), /^net::ERR_FILE_NOT_FOUND/);
      const { targetInfos } = await session.cdp.send('Target.getTargets');
      assert.ok(targetInfos.every(({ url }) => /^(about:blank|https:\/\/shop\.example\/|file:|chrome-error:|$)/.test(url)), JSON.stringify(targetInfos));
    }
    for (const session of next) await end(session);
  });

  // ---- using things up ----

  test(`${driver}: all CPU: the neighbour goes on`, { skip, timeout }, async (t) => {
    await beside(t, (session, page) =>
      page.evaluate(`for (let i = 0; i < 24; i++) new Worker(URL.createObjectURL(new Blob(['for (;;);'])))`),
    );
  });

  test(`${driver}: tabs and workers without end: the berth has only so many processes and threads`, { skip: notInGuests, timeout }, async (t) => {
    await beside(t, async (session, page) => {
      const workers = (count) => `for (let i = 0; i < ${count}; i++) new Worker(URL.createObjectURL(new Blob(['setInterval(() => {}, 1)'])))`;
      // First slowly: at its limit a browser may lose the page that went there, and with it the threads that are to be seen.
      await waitFor(
        async () => {
          await within(page.evaluate(workers(10)), 500);
          return tasks(session) >= PIDS * 0.75;
        },
        { timeout: BUDGET, what: 'the attack to be one' },
      );
      within(page.evaluate(workers(1000)), 1);
      for (let i = 0; i < 20; i++) within(session.cdp.send('Target.createTarget', { url: `data:text/html,<script>${workers(1000)}</script>${i}` }), 1);
      for (let i = 0; i < 20; i++) {
        assert.ok(tasks(session) <= PIDS + (driver === 'docker' ? 3 : 1), `${tasks(session)} processes and threads`);
        await pause(20);
      }
    });
  });

  test(`${driver}: memory without end: the page dies of it, not the machine`, { skip, timeout }, async (t) => {
    await beside(t, async (session, page) => {
      // The page may die without answering, or the whole browser.
      const gone = new Promise((resolve) => {
        session.cdp.ws.on('message', (text) => /Inspector.targetCrashed|Target.targetCrashed|Target.detachedFromTarget/.test(text) && resolve('gone'));
        session.cdp.closed.then(() => resolve('gone'));
      });
      await page.send('Inspector.enable');
      const chunk = 'window.k = [...(window.k ?? []), new Uint8Array(64 << 20).fill(7)], window.k.length';
      let held = 0;
      for (let i = 1; i <= 2 * (MEMORY_MB / 64); i++) {
        const answer = await Promise.race([within(page.evaluate(chunk), BUDGET), gone]);
        if (answer !== i) break;
        held = i * 64;
      }
      assert.ok(held > 0 && held < MEMORY_MB, `a page could have ${held} MB of ${MEMORY_MB}`);
    });
  });

  test(`${driver}: downloads without end: its own disk is full`, { skip: notInGuests, timeout }, async (t) => {
    await beside(t, async (session, page) => {
      const states = [];
      session.cdp.ws.on('message', (text) => {
        const { method, params } = JSON.parse(text);
        if (method === 'Browser.downloadProgress' && params.state !== 'inProgress') states.push(params.state);
      });
      await session.cdp.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: '/dev/shm', eventsEnabled: true });
      const size = `${(SHM_MB * 3) / 8} << 20`;
      for (let i = 0; i < 4; i++) {
        await page.evaluate(
          `Object.assign(document.createElement('a'), { href: URL.createObjectURL(new Blob([new Uint8Array(${size})])), download: 'f${i}' }).click()`,
        );
        await waitFor(() => states.length > i, { timeout: BUDGET, what: `download ${i} to end` });
      }
      assert.ok(states[0] === 'completed' && states.includes('canceled'), states.join());
    });
  });

  test(`${driver}: connections without end, and ones that never read: refused, and bounded`, { skip: notInGuests, timeout }, async (t) => {
    await beside(t, async (session) => {
      const sockets = [];
      let refused;
      while (!refused && sockets.length < 400) {
        for (const r of await Promise.allSettled(Array.from({ length: 20 }, () => Cdp.open(session.connectUrl, { agent: false })))) {
          if (r.status === 'fulfilled') sockets.push(r.value);
          else refused = r.reason;
        }
      }
      assert.equal(refused?.status, 429, `${sockets.length} connections`);
      for (const socket of sockets.splice(8)) socket.drop();
      // Asks for megabytes and takes none of them.
      for (const { ws } of sockets) {
        ws.pause();
        for (let i = 0; i < 5000; i++) ws.send('{"id":1,"method":"Browser.getBrowserCommandLine"}');
      }
      await pause(1000); // for as much of it as gets there; what follows does not depend on it
      t.after(() => sockets.forEach((socket) => socket.drop()));
    });
  });

  // ---- ending badly ----

  test(`${driver}: a page that does not want to go is gone when its session ends`, { skip: notInGuests, timeout }, async (t) => {
    const session = await open(t);
    const page = await openPage(session);
    await page.send('Page.enable');
    const dialog = new Promise((resolve) => session.cdp.ws.on('message', (text) => text.includes('javascriptDialogOpening') && resolve('asked')));
    const stay = 'onbeforeunload = (event) => event.preventDefault(); for (;;) alert(1)';
    within(page.send('Runtime.evaluate', { expression: stay, userGesture: true }), 1);
    assert.equal(await within(dialog, BUDGET), 'asked');
    await end(session);
  });

  test(`${driver}: a connection that a page keeps open ends with its session`, { skip, timeout }, async (t) => {
    const held = await startHeld(t);
    const session = await open(t, { runtimeProfile: 'open' });
    const page = await openPage(session);
    // One that goes on by itself, in a worker that outlives its page.
    within(page.evaluate(`new SharedWorker(URL.createObjectURL(new Blob(["fetch('http://host.berth.internal:${held.port}/', { mode: 'no-cors' })"])))`), 1);
    within(page.evaluate(`fetch('http://host.berth.internal:${held.port}/', { mode: 'no-cors', keepalive: true }).catch(() => {})`), 1);
    await inTime(held.opened, 'the connection that is kept', BUDGET);
    await end(session);
    await inTime(held.gone, 'the end of the connection that was kept', BUDGET);
  });

  for (const method of ['Browser.close', 'Browser.crash']) {
    test(`${driver}: ${method} ends the session, and the berth serves the next`, { skip: notInGuests, timeout }, async (t) => {
      const session = await open(t);
      session.cdp.send(method).catch(() => {});
      const { code } = await within(session.cdp.closed, BUDGET, {});
      assert.equal(code, 4004);
      await clean(session);
      assert.equal((await stack.session(session.id)).reason, 'browser_crashed');
      const next = [await open(t), await open(t), await open(t)];
      assert.ok(next.some(({ berth }) => berth === session.berth));
      for (const one of next) await end(one);
    });
  }
}
