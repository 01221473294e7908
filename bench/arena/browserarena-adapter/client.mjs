// The two calls that BrowserArena makes of a provider, for a Berth; the arena's own berth providers use the same code as the
// adapter does (berth.ts beside this file), so that both measure the same.

/**
 * baseUrl: of the API; apiKey, runtimeProfile: optional. Returns { create(), release(id), counts }; counts tells how many creates
 * found a warm browser.
 */
export function berthProvider({ baseUrl, apiKey, runtimeProfile }) {
  const sessions = `${baseUrl.replace(/\/+$/, '')}/v1/sessions`;
  const auth = apiKey ? { authorization: `Bearer ${apiKey}` } : {};
  const body = JSON.stringify({ browser: 'chromium', ...(runtimeProfile && { runtimeProfile }) });
  const counts = { warm: 0, cold: 0 };
  return {
    counts,
    async create() {
      const response = await fetch(sessions, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...auth },
        body,
        signal: AbortSignal.timeout(120000),
      });
      const session = await response.json();
      if (response.status !== 201) throw new Error(`create answered ${response.status}: ${session.error?.code} ${session.error?.message}`);
      counts[session.controlPlaneTimings?.create?.warmActual ? 'warm' : 'cold']++;
      return { id: session.id, cdpUrl: session.connectUrl };
    },
    async release(id) {
      const response = await fetch(`${sessions}/${id}`, { method: 'DELETE', headers: auth, signal: AbortSignal.timeout(30000) });
      if (!response.ok && response.status !== 404) throw new Error(`release answered ${response.status}: ${await response.text()}`);
    },
  };
}
