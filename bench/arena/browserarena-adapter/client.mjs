// The two calls that BrowserArena makes of a provider, for a Berth; the arena's own berth providers use the same way as the
// adapter (berth.ts beside this file), so that both measure the same.
//
// node:http with a connection that is kept, not fetch: fetch sends a body in a packet of its own and puts streams around the
// reply, which costs the client 0.8 ms a create; the server's part is the same.
import http from 'node:http';
import https from 'node:https';

/**
 * baseUrl: of the API; apiKey, runtimeProfile: optional. Returns { create(), release(id), counts }; counts tells how many creates
 * found a warm browser.
 */
export function berthProvider({ baseUrl, apiKey, runtimeProfile }) {
  const sessions = `${baseUrl.replace(/\/+$/, '')}/v1/sessions`;
  const kind = sessions.startsWith('https:') ? https : http;
  const agent = new kind.Agent({ keepAlive: true });
  const auth = apiKey ? { authorization: `Bearer ${apiKey}` } : {};
  const counts = { warm: 0, cold: 0 };
  const order = JSON.stringify({ browser: 'chromium', ...(runtimeProfile && { runtimeProfile }) });

  /** One request; { status, text }. */
  const call = (method, url, timeout, body) =>
    new Promise((resolve, reject) => {
      const headers = body ? { ...auth, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } : auth;
      const request = kind.request(url, { method, agent, headers, signal: AbortSignal.timeout(timeout) }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode, text }));
        response.on('error', reject);
      });
      request.on('error', reject);
      request.end(body);
    });

  return {
    counts,
    async create() {
      const { status, text } = await call('POST', sessions, 120000, order);
      if (status !== 201) throw Object.assign(new Error(`Berth: create ${status}: ${text}`), { status });
      const session = JSON.parse(text);
      counts[session.controlPlaneTimings?.create?.warmActual ? 'warm' : 'cold']++;
      return { id: session.id, cdpUrl: session.connectUrl };
    },
    async release(id) {
      const { status, text } = await call('DELETE', `${sessions}/${id}`, 30000);
      if (status !== 204 && status !== 404) throw new Error(`Berth: release ${status}: ${text}`);
    },
  };
}
