// A bare CDP client that shows what WebSocket libraries of browsers' clients hide: close codes, reasons, pings.
import { WebSocket } from 'ws';
import { waitFor } from './program.mjs';

export class Cdp {
  #next = 1;
  #waiting = new Map();
  #over = null;

  /** Resolves when the WebSocket is open; an HTTP refusal is an error with .status and .body. */
  static open(url, options = {}) {
    const cdp = new Cdp();
    cdp.closed = new Promise((resolve) => {
      cdp.onClosed = resolve;
    });
    return new Promise((resolve, reject) => {
      const ws = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: 60000, ...options });
      cdp.ws = ws;
      ws.on('open', () => resolve(cdp));
      ws.on('message', (text) => cdp.#message(JSON.parse(text)));
      ws.on('close', (code, reason) => cdp.#close(code, reason.toString()));
      ws.on('unexpected-response', (request, response) => {
        let body = '';
        response.on('data', (part) => (body += part));
        response.on('end', () => reject(Object.assign(new Error(`HTTP ${response.statusCode} ${body}`), { status: response.statusCode, body })));
        response.on('close', () => reject(new Error('the answer broke off')));
      });
      ws.on('error', (error) => {
        reject(error);
        cdp.#close(1006, error.message);
      });
    });
  }

  #message({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    if (error) waiting.reject(new Error(error.message));
    else waiting.resolve(result);
  }

  #close(code, reason) {
    this.#over = Object.assign(new Error(`closed: ${code} ${reason}`), { final: true }); // nothing to wait for any more
    this.onClosed({ code, reason });
    for (const { reject } of this.#waiting.values()) reject(this.#over);
    this.#waiting.clear();
  }

  send(method, params = {}, sessionId) {
    if (this.#over) return Promise.reject(this.#over);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.ws.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }

  close(code = 1000) {
    this.ws.close(code);
    return this.closed;
  }

  /** Drops the connection without a close frame, as a client that was killed does. */
  drop() {
    this.ws.terminate();
  }
}

/** A page of its own at url, without a client library's time: { evaluate(expression) }. Waits until url is what is shown. */
export async function openPage(cdp, url) {
  const { targetId } = await cdp.send('Target.createTarget', { url });
  const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true });
  const evaluate = async (expression) => {
    const { result, exceptionDetails: e } = await cdp.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
    if (e) throw new Error(e.exception?.description ?? e.text);
    return result.value;
  };
  const shown = `location.href === ${JSON.stringify(url)} && document.readyState === 'complete'`;
  await waitFor(() => evaluate(shown), { timeout: 180000, every: 50, what: `${url} to be shown` });
  return { evaluate };
}
