// Berth with BERTH_CONNECT=relay: the same worker and browsers, CDP through the API.
import { openBy } from './berth.mjs';

export const what = 'Berth, through the API';
export const open = (arena) => openBy(arena, (berth) => berth.relayUrl);
