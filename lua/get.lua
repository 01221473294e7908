#!lua flags=no-writes
-- get: a session, with its position when it waits.
--
-- KEYS
--   P:session:<id>      hash
--   P:queue:<profile>   zset
-- ARGV
--   1  now       ms, 0: Redis' clock
--   2  session
--   3  project   empty: any
-- Output
--   ok             position (0: not queued), session (flat)
--   not_found      no such session in this project
--   bad_argument   which
-- Events
--   none
--@include args
--@include session
--@include queue
local bad = args.wrong({ 'number', 'session', 'any_name' })
if bad then return bad end
local s = session.load(ARGV[2])
if not s or (ARGV[3] ~= '' and s.project ~= ARGV[3]) then return fail('not_found') end
return ok(queue.position(s), session.flat(s))
