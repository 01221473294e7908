// A provider for the public BrowserArena harness: a Berth. README.md beside this file says where it goes.
// BERTH_BASE_URL: of the API (http://127.0.0.1:3000); BERTH_API_KEY: if it asks for one; BERTH_PROFILE: if not the default one.
import type { ProviderClient, ProviderSession } from "../types.js";

export class BerthProvider implements ProviderClient {
  readonly name = "BERTH";

  private readonly sessions = `${(process.env.BERTH_BASE_URL ?? "http://127.0.0.1:3000").replace(/\/+$/, "")}/v1/sessions`;

  /** Nobody sends a bill: it runs on one's own machines. */
  computeCost(_seconds: number): number {
    return 0;
  }

  private async call(method: string, path: string, timeoutMs: number, body?: object): Promise<Response> {
    const key = process.env.BERTH_API_KEY;
    return fetch(this.sessions + path, {
      method,
      headers: {
        ...(body ? { "content-type": "application/json" } : {}),
        ...(key ? { authorization: `Bearer ${key}` } : {}),
      },
      body: body ? JSON.stringify(body) : undefined,
      signal: AbortSignal.timeout(timeoutMs),
    });
  }

  async create(): Promise<ProviderSession> {
    const profile = process.env.BERTH_PROFILE;
    const response = await this.call("POST", "", 120_000, {
      browser: "chromium",
      ...(profile ? { runtimeProfile: profile } : {}),
    });
    const session = (await response.json()) as {
      id?: string;
      connectUrl?: string;
      error?: { code: string; message: string };
    };
    if (response.status !== 201 || !session.id || !session.connectUrl) {
      const error = new Error(`Berth: ${response.status} ${session.error?.code ?? ""} ${session.error?.message ?? ""}`);
      throw Object.assign(error, { status: response.status });
    }
    return { id: session.id, cdpUrl: session.connectUrl };
  }

  async release(id: string): Promise<void> {
    const response = await this.call("DELETE", `/${id}`, 30_000);
    if (!response.ok && response.status !== 404) {
      throw new Error(`Berth: release ${response.status}: ${await response.text()}`);
    }
    await response.arrayBuffer();
  }
}
