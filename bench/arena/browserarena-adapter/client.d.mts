// Types of client.mjs, for the harness' compiler.
export function berthProvider(options: { baseUrl: string; apiKey?: string; runtimeProfile?: string }): {
  create(): Promise<{ id: string; cdpUrl: string }>;
  release(id: string): Promise<void>;
  counts: { warm: number; cold: number };
};
