// One line that says how far a run is: it changes in place on a terminal; elsewhere a line at most every ten seconds.

/** total: how many steps there will be. step(n, text): n of them are done; done(): ends the line. Writes to stderr. */
export function progress(total, stream = process.stderr) {
  const started = Date.now();
  let shown = 0;
  return {
    step(n, text) {
      const now = Date.now();
      if (!stream.isTTY && n < total && now - shown < 10000) return;
      shown = now;
      const left = n > 0 ? Math.round(((now - started) / n) * (total - n) / 1000) : null;
      const eta = left === null ? '' : ` · ${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')} left`;
      const line = `${n}/${total}${eta} · ${text}`;
      stream.write(stream.isTTY ? `\r\x1b[K${line.slice(0, (stream.columns || 100) - 1)}` : `${line}\n`);
    },
    done() {
      if (stream.isTTY) stream.write('\r\x1b[K');
    },
  };
}
