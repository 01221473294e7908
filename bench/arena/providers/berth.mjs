// Berth: POST /v1/sessions, the URL of the worker's own gateway, DELETE /v1/sessions/:id.
import { berthProvider } from '../browserarena-adapter/client.mjs';

export const what = 'Berth, direct';

export async function open(arena) {
  const berth = await arena.berth();
  const client = berthProvider({ baseUrl: berth.url });
  return {
    url: arena.site.jailUrl,
    prepare: (n) => berth.warm(n),
    create: () => client.create(),
    release: ({ id }) => client.release(id),
    rest: () => berth.idle(),
    notes: () => client.counts,
  };
}
