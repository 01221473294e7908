// Command line options of one of bench/'s scripts; --help prints the comment at its head.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** url: the script's import.meta.url; options: as util.parseArgs takes them. Returns the values. */
export function readOptions(url, options) {
  const { values } = parseArgs({ options: { ...options, help: { type: 'boolean', default: false } } });
  if (values.help) {
    const head = /^(?:\/\/.*\n)+/.exec(readFileSync(fileURLToPath(url), 'utf8'))[0];
    console.log(head.replace(/^\/\/ ?/gm, ''));
    process.exit(0);
  }
  return values;
}
