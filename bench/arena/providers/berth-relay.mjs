// Berth with BERTH_CONNECT=relay: the same worker and browsers, CDP through the API.
import { berthProvider } from '../browserarena-adapter/client.mjs';

export const what = 'Berth, through the API';

export async function open(arena) {
  const berth = await arena.berth();
  const client = berthProvider({ baseUrl: berth.relayUrl });
  return {
    url: arena.site.jailUrl,
    prepare: (n) => berth.warm(n),
    create: () => client.create(),
    release: ({ id }) => client.release(id),
    rest: () => berth.idle(),
    notes: () => client.counts,
  };
}
