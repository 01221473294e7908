// A provider for the public BrowserArena harness: a Berth. README.md beside this file says where it and client.mjs go.
// BERTH_BASE_URL: of the API (http://127.0.0.1:3000); BERTH_API_KEY: if it asks for one; BERTH_PROFILE: if not the default one.
import type { ProviderClient, ProviderSession } from "../types.js";
import { berthProvider } from "./client.mjs";

export class BerthProvider implements ProviderClient {
  readonly name = "BERTH";

  private readonly client = berthProvider({
    baseUrl: process.env.BERTH_BASE_URL ?? "http://127.0.0.1:3000",
    apiKey: process.env.BERTH_API_KEY,
    runtimeProfile: process.env.BERTH_PROFILE,
  });

  /** Nobody sends a bill: it runs on one's own machines. */
  computeCost(_seconds: number): number {
    return 0;
  }

  create(): Promise<ProviderSession> {
    return this.client.create();
  }

  release(id: string): Promise<void> {
    return this.client.release(id);
  }
}
