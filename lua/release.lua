#!lua flags=allow-oom
-- release: ends a session: at once when it waits, through `ending` when it has a berth. One that ends or has ended stays as
-- it is, with the reason it has.
--
-- KEYS
--   P:session:<id>                 hash
--   P:sessions:<project>:<state>   zset
--   P:project:<id>                 hash
--   P:deadlines                    zset
--   P:queue:<profile>              zset
--   P:profiles                     set
--   P:worker:<id>                  hash
--   P:berths:<worker>              hash
--   P:warm:<profile>               zset
--   P:room:<profile>               zset
--   P:spare:<profile>              zset
--   P:jobs:<worker>                stream
--   P:cell                         hash
--   P:events                       stream
--   P:changed:<session>            channel
-- ARGV
--   1  now       ms, 0: Redis' clock
--   2  session
--   3  project   empty: any
--   4  reason    one of docs/protocol.md
--   5  worker    the one that asks; empty: not a worker
--   6  epoch     of that worker
-- Output
--   ok             session (flat)
--   not_found      no such session in this project
--   stale_epoch    the session is not on this worker under this epoch
--   bad_argument   which
-- Events
--   queued → ended, starting → ending, running → ending
--   jobs: stop
--@include args
--@include session
--@include finish
local bad = args.wrong({ 'number', 'session', 'any_name', 'word', 'any_name', 'maybe' })
if bad then return bad end
local now, reason = args.now(ARGV[1]), ARGV[4]
if not session.reasons[reason] then return fail('bad_argument', '4') end
local s = session.load(ARGV[2])
if not s or (ARGV[3] ~= '' and s.project ~= ARGV[3]) then return fail('not_found') end
if ARGV[5] ~= '' and (s.worker ~= ARGV[5] or s.epoch ~= ARGV[6]) then return fail('stale_epoch') end

finish.session(s, reason, now)
return ok(session.flat(s))
