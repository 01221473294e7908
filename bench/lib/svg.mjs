// Plots as SVG files that stand alone: stacked bars, and lines. White ground, so that they can be read on any page.

const COLOURS = ['#3b6ea5', '#e08e45', '#6a9f58', '#b5525c', '#7d6aa8', '#4c9a9a', '#a57c52', '#777777'];
const FONT = 'font-family="system-ui, sans-serif"';

const esc = (text) => String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);
const n = (value) => Number(value.toFixed(1));
const text = (x, y, value, more = '') => `<text x="${n(x)}" y="${n(y)}" ${more}>${esc(value)}</text>`;

/** About count round numbers from 0 to a little over max. */
function ticks(max, count = 6) {
  const rough = max / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  return Array.from({ length: Math.ceil(max / step) + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

/** The legend: { svg, height } of as many rows as the names need. */
function legend(names, x, y, width) {
  let [at, row] = [x, 0];
  const items = names.map((name, i) => {
    const wide = 30 + 6.6 * name.length;
    if (at > x && at + wide > width) [at, row] = [x, row + 1];
    const top = y + row * 18;
    const item = `<rect x="${n(at)}" y="${top - 9}" width="10" height="10" fill="${COLOURS[i % COLOURS.length]}"/>${text(at + 14, top, name)}`;
    at += wide;
    return item;
  });
  return { svg: items.join(''), height: row * 18 };
}

function sheet(width, height, title, body) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${FONT} font-size="12" fill="#222">
<rect width="${width}" height="${height}" fill="#fff"/>
${text(16, 24, title, 'font-size="15" font-weight="600"')}
${body}
</svg>
`;
}

/**
 * Horizontal bars of stacked parts. groups: [{ title, rows: [{ label, parts: [number…], mark, note }] }]; parts: names of the parts;
 * mark: a value shown as a dot (say p95), note: text after the bar. All values in unit; each group has its own scale.
 */
export function stackedBars({ title, unit, parts, groups, markName }) {
  const width = 860;
  const left = 190;
  const room = width - left - 190; // for the longest note beside the longest bar
  const names = legend(parts, 16, 46, width - 150);
  let y = 66 + names.height;
  const out = [names.svg];
  if (markName) out.push(`<circle cx="${width - 100}" cy="42" r="3.5" fill="#222"/>${text(width - 90, 46, markName)}`);
  for (const group of groups) {
    const max = Math.max(...group.rows.map((r) => Math.max(r.parts.reduce((a, b) => a + (b ?? 0), 0), r.mark ?? 0)), 1e-9);
    const scale = ticks(max);
    const x = (value) => left + (value / scale.at(-1)) * room;
    const bottom = y + 16 + group.rows.length * 24;
    out.push(text(16, y + 4, group.title, 'font-weight="600"'));
    for (const tick of scale) {
      out.push(`<line x1="${n(x(tick))}" x2="${n(x(tick))}" y1="${y + 12}" y2="${bottom}" stroke="#ddd"/>`);
      out.push(text(x(tick), bottom + 14, tick === scale.at(-1) ? `${tick} ${unit}` : tick, 'text-anchor="middle" font-size="11" fill="#666"'));
    }
    group.rows.forEach((row, i) => {
      const top = y + 16 + i * 24;
      let at = 0;
      out.push(text(left - 8, top + 14, row.label, 'text-anchor="end"'));
      row.parts.forEach((part, p) => {
        if (part > 0) {
          const tip = `<title>${esc(`${row.label}: ${parts[p]} ${n(part)} ${unit}`)}</title>`;
          out.push(`<rect x="${n(x(at))}" y="${top + 2}" width="${n(x(at + part) - x(at))}" height="17" fill="${COLOURS[p % COLOURS.length]}">${tip}</rect>`);
        }
        at += part ?? 0;
      });
      if (row.mark) out.push(`<circle cx="${n(x(row.mark))}" cy="${top + 10.5}" r="3.5" fill="#222"/>`);
      if (row.note) out.push(text(x(Math.max(at, row.mark ?? 0)) + 8, top + 14, row.note));
    });
    y = bottom + 40;
  }
  return sheet(width, y - 10, title, out.join('\n'));
}

/** Lines. series: [{ name, points: [[x, y]…] }]; xLog, yLog: logarithmic axes (values then > 0). */
export function lines({ title, xLabel, yLabel, series, xLog = false, yLog = false }) {
  const width = 760;
  const names = legend(series.map((s) => s.name), 16, 46, width - 16);
  const height = 420 + names.height;
  const box = { left: 70, right: width - 24, top: 64 + names.height, bottom: height - 52 };
  const axis = (values, log, from, to) => {
    if (log) {
      const low = Math.floor(Math.log10(Math.min(...values)));
      const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
      const at = (v) => from + ((Math.log10(v) - low) / (high - low)) * (to - from);
      return { at, marks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)) };
    }
    const marks = ticks(Math.max(...values, 1e-9));
    return { at: (v) => from + (v / marks.at(-1)) * (to - from), marks };
  };
  const points = series.flatMap((s) => s.points);
  const x = axis(points.map((p) => p[0]), xLog, box.left, box.right);
  const y = axis(points.map((p) => p[1]), yLog, box.bottom, box.top);
  const short = (v) => (v >= 1e6 ? `${v / 1e6}M` : v >= 1e4 ? `${v / 1e3}k` : String(Number(v.toPrecision(4))));
  const out = [names.svg];
  for (const mark of x.marks) {
    out.push(`<line x1="${n(x.at(mark))}" x2="${n(x.at(mark))}" y1="${box.top}" y2="${box.bottom}" stroke="#eee"/>`);
    out.push(text(x.at(mark), box.bottom + 16, short(mark), 'text-anchor="middle" font-size="11" fill="#666"'));
  }
  for (const mark of y.marks) {
    out.push(`<line x1="${box.left}" x2="${box.right}" y1="${n(y.at(mark))}" y2="${n(y.at(mark))}" stroke="#ddd"/>`);
    out.push(text(box.left - 8, y.at(mark) + 4, short(mark), 'text-anchor="end" font-size="11" fill="#666"'));
  }
  out.push(text((box.left + box.right) / 2, height - 14, xLabel, 'text-anchor="middle"'));
  out.push(text(18, (box.top + box.bottom) / 2, yLabel, `text-anchor="middle" transform="rotate(-90 18 ${n((box.top + box.bottom) / 2)})"`));
  series.forEach((s, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const path = s.points.map(([a, b]) => `${n(x.at(a))},${n(y.at(b))}`).join(' ');
    out.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const [a, b] of s.points) {
      out.push(`<circle cx="${n(x.at(a))}" cy="${n(y.at(b))}" r="3" fill="${colour}"><title>${esc(`${s.name}: ${a}, ${b}`)}</title></circle>`);
    }
  });
  return sheet(width, height, title, out.join('\n'));
}
