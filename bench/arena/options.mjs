// The arena's options and what they mean.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** In the order in which the table has them. Others in providers/ come after. */
const ORDER = ['berth', 'berth-relay', 'floor', 'raw', 'playwright-run-server', 'browserless', 'steel'];

const HELP = `make bench-arena BENCH="OPTION…"   (or bench/arena/run OPTION…)

Times a browser session's four stages (create, connect, goto, release) as BrowserArena does, for all providers in one run.

  --levels c1,c10,c10-all  what is run. cN: N sessions at once, N browsers up before each wave; cN-all: so many at once, the browsers of
                           all waves up before the first one; default all three
  --runs N                 sessions of each provider and level (100)
  --warmups N              sessions before them, one by one, thrown away (10)
  --providers A,B          only these; all: ${ORDER.join(', ')}
  --pace settled|sequential   settled (default): before each wave its browsers are up and nothing else is at work; the providers take
                           turns wave by wave. sequential: a provider's sessions follow each other at once, in blocks; the providers
                           take turns block by block
  --block N                sequential: waves in a block (20)
  --warm N, --berths N     browsers Berth (and the floor) keeps warm, and Berth's berths; default: as the level says
  --env NAME=VALUE         a setting for Berth's programs; may be repeated
  --url URL                the page; default: a static one on this host's loopback
  --out FOLDER             results; default: BUILD/arena/<time>
  --help`;

export function readOptions() {
  const { values } = parseArgs({
    options: {
      levels: { type: 'string', default: 'c1,c10,c10-all' },
      runs: { type: 'string', default: '100' },
      warmups: { type: 'string', default: '10' },
      providers: { type: 'string' },
      pace: { type: 'string', default: 'settled' },
      block: { type: 'string', default: '20' },
      warm: { type: 'string' },
      berths: { type: 'string' },
      env: { type: 'string', multiple: true, default: [] },
      url: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const number = (name, low) => {
    if (values[name] === undefined) return undefined;
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < low) throw new Error(`--${name}: a number from ${low} on, not ${values[name]}`);
    return value;
  };
  const there = readdirSync(fileURLToPath(new URL('providers', import.meta.url))).map((file) => file.replace(/\.mjs$/, ''));
  const known = [...ORDER, ...there.filter((name) => !ORDER.includes(name)).sort()];
  const providers = values.providers ? values.providers.split(',') : known;
  for (const name of providers) if (!there.includes(name)) throw new Error(`--providers: ${name} is none of ${known.join(', ')}`);
  if (!['settled', 'sequential'].includes(values.pace)) throw new Error('--pace: settled or sequential');
  const options = {
    runs: number('runs', 1),
    warmups: number('warmups', 0),
    block: number('block', 1),
    warm: number('warm', 0),
    berths: number('berths', 1),
    providers,
    pace: values.pace,
    url: values.url,
    out: values.out,
    env: Object.fromEntries(values.env.map((pair) => [pair.split('=', 1)[0], pair.slice(pair.indexOf('=') + 1)])),
  };
  options.levels = values.levels.split(',').map((name) => level(name, options));
  return options;
}

/** A level's sizes. Berths beyond the warm ones let the pool refill while sessions run and old browsers are cleaned. */
function level(name, { runs, warmups, warm, berths }) {
  const match = /^c([1-9]\d{0,2})(-all)?$/.exec(name);
  if (!match) throw new Error(`--levels: c1, c10, c10-all or the like, not ${name}`);
  const concurrency = Number(match[1]);
  const waves = Math.max(1, Math.ceil(runs / concurrency));
  const all = match[2] !== undefined;
  const kept = warm ?? (all ? waves * concurrency + warmups : Math.max(concurrency, 2));
  return { name, concurrency, waves, all, pool: { warm: kept, berths: berths ?? kept + (all ? 2 : 2 * concurrency + 2) } };
}
