#!lua flags=allow-oom
-- failed: a browser did not start, or broke. The worker cleans the berth and then says `freed`. A session that was starting
-- there is placed again (three attempts in all, then start_failed); one that ran ends with browser_crashed.
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
--   6  message     for people
--   7  placement   pack or spread
-- Output
--   ok
--   stale_turn       the berth has moved on
--   stale_epoch      another process registered this id
--   unknown_worker   the lease was lost: register again
--   bad_argument     which
-- Events
--   running → ending, starting → starting, starting → running, starting → queued, starting → ended
--   jobs: claim, start
--@include args
--@include worker
--@include berths
--@include session
--@include place
local bad = args.wrong({ 'number', 'name', 'number', 'number', 'number', 'text', 'placement' })
if bad then return bad end
local now, i, message = args.now(ARGV[1]), ARGV[4], string.sub(ARGV[6], 1, 500)
local w, refused = worker.fence(ARGV[2], ARGV[3])
if not w then return refused end
local b = berths.get(w, i)
if not b or b.turn ~= ARGV[5] or b.state == 'free' then return fail('stale_turn') end
if b.state == 'cleaning' then return ok() end

local s = b.session ~= '' and session.load(b.session)
if s and s.state == 'running' then
  berths.clean(w, i, b, s.id)
  session.move(s, 'ending', now, { reason = 'browser_crashed', message = message })
else
  berths.clean(w, i, b, '')
  if s and s.state == 'starting' then place.again(s, 'start_failed', now, ARGV[7], message) end
end
return ok()
