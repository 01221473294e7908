// scripts/lint-lua passes on what is here, and fails on each of a list of mistakes.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './fixture.mjs';

function lint(dir) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(root, 'scripts', 'lint-lua'), dir], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return { status, lines: stdout.split('\n').filter(Boolean) };
}

// What, file, its text, what to put there, what lint has to say.
const MISTAKES = [
  ['a key that the header lacks', 'lua/ready.lua', '--   P:deadlines                    zset\n', '', /lua\/ready.lua: key P:deadlines zset is used and not in the header/],
  ['a key that nobody uses', 'lua/get.lua', '--   P:session:<id>      hash\n', '--   P:session:<id>      hash\n--   P:workers zset\n', /lua\/get.lua: key P:workers zset is in the header and not used/],
  ['a key of another type', 'lua/get.lua', 'P:queue:<profile>   zset', 'P:queue:<profile>   list', /lua\/get.lua: key P:queue:<profile> zset is used/],
  ['a key used in an include alone', 'lua/include/queue.lua', 'local rank = ', "redis.call('GET', key.events())\n  local rank = ", /lua\/get.lua: key P:events stream is used and not in the header/],
  ['a builder that does not say its type', 'lua/include/keys.lua', ' -- P:events stream', '', /keys.lua: key.events does not say its pattern and type/],
  ['a code that the header lacks', 'lua/reserve.lua', '--   no_berth         none is free, or the worker drains\n', '', /lua\/reserve.lua: code no_berth is used and not in the header/],
  ['a code that nobody gives', 'lua/get.lua', '--   not_found ', '--   no_berth  none\n--   not_found ', /lua\/get.lua: code no_berth is in the header and not used/],
  ['a code that the error table lacks', 'shared/errors.def', /^ERR\(not_warm,.*\n/m, '', /lua\/withdraw.lua: code not_warm is not in shared\/errors.def/],
  ['a code that docs/protocol.md lacks', 'docs/protocol.md', 'berth, turn · `no_berth`', 'berth, turn', /docs\/protocol.md: reserve may answer no_berth/],
  ['an answer that is built by hand', 'lua/get.lua', "return fail('not_found')", "return { 'not_found' }", /lua\/get.lua: answers without ok\(\) or fail\(\)/],
  ['a code that is not a literal', 'lua/get.lua', "return fail('not_found')", 'return fail(ARGV[3])', /lua\/get.lua: fail\(\) with a code that is not a literal/],
  ['an argument without words', 'lua/get.lua', '--   3  project   empty: any\n', '', /lua\/get.lua: checks 3 arguments and documents 2/],
  ['an argument beyond the list', 'lua/get.lua', 'ARGV[3]', 'ARGV[4]', /lua\/get.lua: ARGV 4 is used and not documented/],
  ['an argument that nobody uses', 'lua/withdraw.lua', 'ARGV[5]', 'nil', /lua\/withdraw.lua: ARGV 5 is documented and not used/],
  ['an argument type that does not exist', 'lua/get.lua', "'any_name'", "'anything'", /lua\/get.lua: there is no argument type anything/],
  ['arguments that are not checked', 'lua/limits.lua', /args\.wrong\(.*\)/, 'nil', /lua\/limits.lua: does not check its arguments/],
  ['arguments that docs/protocol.md counts otherwise', 'docs/protocol.md', '| `get` | session, project (empty = any) |', '| `get` | session |', /lua\/get.lua: takes 2 arguments after now; docs\/protocol.md has 1/],
  ['no #!lua', 'lua/get.lua', '#!lua flags=no-writes\n', '', /lua\/get.lua: the first line has to be #!lua/],
  ['a header without a section', 'lua/get.lua', '-- Events\n--   none\n', '', /lua\/get.lua: the header has no Events/],
  ['a key built by hand', 'lua/include/queue.lua', 'key.queue(profile), 0, 0', "'berth:queue', 0, 0", /lua\/include\/queue.lua: builds a key from text/],
  ['KEYS outside of keys.lua', 'lua/get.lua', 'return ok(', "redis.call('GET', KEYS[1])\nreturn ok(", /lua\/get.lua: uses KEYS/],
  ['text for a key', 'lua/get.lua', 'return ok(', "redis.call('GET', 'x')\nreturn ok(", /lua\/get.lua: GET has text for a key/],
  ['a job that the header lacks', 'lua/failed.lua', 'jobs: claim, start', 'jobs: claim', /lua\/failed.lua: job start is used and not in the header/],
  ['a function that does not exist', 'lua/get.lua', 'queue.position(', 'queue.place(', /lua\/get.lua: there is no queue.place/],
  ['an include that is missing', 'lua/get.lua', '--@include queue\n', '', /lua\/get.lua: uses queue and does not include it/],
  ['an include that is not used', 'lua/get.lua', '--@include queue\n', '--@include queue\n--@include lose\n', /lua\/get.lua: includes lose and does not use it/],
  ['a script that docs/protocol.md lacks', 'docs/protocol.md', /^\| `limits` \|.*\n/m, '', /lua\/limits.lua: is not in docs\/protocol.md/],
  ['a script that does not exist', 'docs/protocol.md', '| `get` |', '| `fetch` | session | - |\n| `get` |', /docs\/protocol.md: lists fetch, which does not exist/],
  ['a script that is not embedded', 'shared/scripts.def', 'SCRIPT(audit)\n', '', /shared\/scripts.def: lacks audit/],
];

test('lint finds nothing here', () => {
  assert.deepEqual(lint(root), { status: 0, lines: [] });
});

for (const [what, file, from, to, should] of MISTAKES) {
  test(`lint finds ${what}`, (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-lint-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    cpSync(join(root, 'lua'), join(dir, 'lua'), { recursive: true });
    for (const f of ['docs/protocol.md', 'shared/errors.def', 'shared/scripts.def']) {
      mkdirSync(join(dir, f.split('/')[0]), { recursive: true });
      cpSync(join(root, f), join(dir, f));
    }
    const text = readFileSync(join(dir, file), 'utf8');
    const changed = text.replace(from, to);
    assert.notEqual(changed, text, 'the mistake was not made');
    writeFileSync(join(dir, file), changed);
    const { status, lines } = lint(dir);
    assert.equal(status, 1);
    assert.ok(lines.some((l) => should.test(l)), `${should} is not in\n${lines.join('\n')}`);
  });
}
