// A table for people: the first column to the left, the others to the right.

/** rows: arrays of cells (text or number); head: array of texts. Returns the lines as one text. */
export function table(head, rows) {
  const cells = [head, ...rows].map((row) => row.map((cell) => (cell === null || cell === undefined ? '–' : String(cell))));
  const widths = head.map((_, i) => Math.max(...cells.map((row) => [...row[i]].length)));
  const pad = (cell, i) => ' '.repeat(widths[i] - [...cell].length);
  const line = (row) => row.map((cell, i) => (i === 0 ? cell + pad(cell, i) : pad(cell, i) + cell)).join('  ').trimEnd();
  return [line(cells[0]), '-'.repeat(widths.reduce((a, b) => a + b + 2, -2)), ...cells.slice(1).map(line)].join('\n');
}
