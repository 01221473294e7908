#!lua
-- reserve: a worker takes one of its free berths to make a warm one in it.
-- Not safe to repeat: a second call takes a second berth. After a lost answer the worker finds what it has in P:berths:<worker>
-- (`starting` without a session).
--
-- KEYS
--   P:worker:<id>       hash
--   P:berths:<worker>   hash
--   P:free:<worker>     list
--   P:room:<profile>    zset
--   P:warm:<profile>    zset
--   P:spare:<profile>   zset
-- ARGV
--   1  now       ms, 0: Redis' clock
--   2  worker
--   3  epoch
--   4  profile   one that the worker carries
-- Output
--   ok               berth, turn
--   no_berth         none is free, or the worker drains
--   stale_epoch      another process registered this id
--   unknown_worker   the lease was lost: register again
--   bad_argument     which
-- Events
--   none
--@include args
--@include worker
--@include berths
local bad = args.wrong({ 'number', 'name', 'number', 'name' })
if bad then return bad end
local w, refused = worker.fence(ARGV[2], ARGV[3])
if not w then return refused end
if not worker.carries(w, ARGV[4]) then return fail('bad_argument', '4') end
if w.state ~= 'ready' then return fail('no_berth') end

local i, b = berths.pop_free(w)
if not i then return fail('no_berth') end
berths.start(w, i, b, ARGV[4], '')
return ok(tonumber(i), tonumber(b.turn))
