// Why a peer cannot take part in the arena: shown beside its name, apart from failures.
/** A provider throws it from open() when it cannot take part; the message says why, and what would change that. */
export class Unavailable extends Error {}
