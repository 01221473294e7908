// Pauses between the steps of a run, and what they tell of other programs on the machine.
import { quiet } from './machine.mjs';

/** pause(): until our own programs rest; others(): the share of all cores that others used in those pauses, 0 to 1. */
export function rests() {
  const seen = [];
  return {
    async pause() {
      seen.push((await quiet()).others);
    },
    others: () => seen.reduce((a, b) => a + b, 0) / Math.max(1, seen.length),
  };
}
