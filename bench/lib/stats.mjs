// Quantiles by nearest rank, as BrowserArena computes its own: a value that was measured, never one between two.

/** The q-quantile (0 < q ≤ 1) of numbers, sorted or not; null of none. */
export function quantile(values, q) {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
}

export const median = (values) => quantile(values, 0.5);

/** { n, min, p50, p90, p95, p99, max }, three decimals. */
export function summary(values) {
  const at = (q) => round(quantile(values, q));
  return { n: values.length, min: at(Number.MIN_VALUE), p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), max: at(1) };
}

/** Rounded to some decimals; null stays null. */
export function round(value, decimals = 3) {
  return value === null || value === undefined ? null : Number(value.toFixed(decimals));
}
