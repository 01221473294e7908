#!lua flags=allow-oom
-- freed: nothing is left of this turn of a berth, whatever state it is in. Its session, if it has one, ends; one that was still
-- starting is placed again. The berth is free and the queue is served.
--
-- KEYS
--   P:worker:<id>                  hash
--   P:berths:<worker>              hash
--   P:free:<worker>                list
--   P:warm:<profile>               zset
--   P:room:<profile>               zset
--   P:spare:<profile>              zset
--   P:jobs:<worker>                stream
--   P:queue:<profile>              zset
--   P:session:<id>                 hash
--   P:sessions:<project>:<state>   zset
--   P:project:<id>                 hash
--   P:deadlines                    zset
--   P:cell                         hash
--   P:events                       stream
--   P:changed:<session>            channel
-- ARGV
--   1  now         ms, 0: Redis' clock
--   2  worker
--   3  epoch
--   4  berth
--   5  turn
--   6  placement   pack or spread
-- Output
--   ok
--   stale_turn       the berth has moved on
--   stale_epoch      another process registered this id
--   unknown_worker   the lease was lost: register again
--   bad_argument     which
-- Events
--   ending → ended, running → ended, starting → starting, starting → running, starting → queued, starting → ended,
--   queued → starting
--   jobs: claim, start
--@include args
--@include worker
--@include berths
--@include session
--@include place
--@include serve
local bad = args.wrong({ 'number', 'name', 'number', 'number', 'number', 'placement' })
if bad then return bad end
local now, i = args.now(ARGV[1]), ARGV[4]
local w, refused = worker.fence(ARGV[2], ARGV[3])
if not w then return refused end
local b = berths.get(w, i)
if not b or b.turn ~= ARGV[5] then return fail('stale_turn') end
if b.state == 'free' then return ok() end

local s = b.session ~= '' and (session.ending(b.session) or session.load(b.session))
berths.free(w, i, b)
if s and s.state == 'ending' then
  session.move(s, 'ended', now, {})
elseif s and s.state == 'running' then
  session.move(s, 'ended', now, { reason = 'browser_crashed' })
elseif s and s.state == 'starting' then
  place.again(s, 'start_failed', now, ARGV[6])
end
serve.worker(w, now)
return ok()
