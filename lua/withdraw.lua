#!lua flags=allow-oom
-- withdraw: a worker takes a warm berth back (it waited too long, or its browser is not well) and cleans it, then says `freed`.
--
-- KEYS
--   P:worker:<id>       hash
--   P:berths:<worker>   hash
--   P:warm:<profile>    zset
--   P:room:<profile>    zset
--   P:spare:<profile>   zset
-- ARGV
--   1  now      ms, 0: Redis' clock
--   2  worker
--   3  epoch
--   4  berth
--   5  turn
-- Output
--   ok
--   not_warm         a session has it, or it is not up yet
--   stale_turn       the berth has moved on
--   stale_epoch      another process registered this id
--   unknown_worker   the lease was lost: register again
--   bad_argument     which
-- Events
--   none
--@include args
--@include worker
--@include berths
local bad = args.wrong({ 'number', 'name', 'number', 'number', 'number' })
if bad then return bad end
local w, refused = worker.fence(ARGV[2], ARGV[3])
if not w then return refused end
local i = ARGV[4]
local b = berths.get(w, i)
if not b or b.turn ~= ARGV[5] then return fail('stale_turn') end
if b.state == 'cleaning' and b.session == '' then return ok() end
if b.state ~= 'warm' then return fail('not_warm') end

berths.clean(w, i, b, '')
return ok()
