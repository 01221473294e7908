// Berth: POST /v1/sessions, the URL of the worker's own gateway, DELETE /v1/sessions/:id.
import { berthProvider } from '../browserarena-adapter/client.mjs';

export const what = 'Berth, direct';

/** The same by whichever of its URLs. */
export async function openBy(arena, urlOf) {
  const berth = await arena.berth();
  const client = berthProvider({ baseUrl: urlOf(berth) });
  return {
    url: arena.site.jailUrl,
    prepare: (n) => berth.warm(n),
    create: () => client.create(),
    release: ({ id }) => client.release(id),
    rest: () => berth.idle(),
    notes: () => client.counts,
  };
}

export const open = (arena) => openBy(arena, (berth) => berth.url);
