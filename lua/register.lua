#!lua
-- register: a worker process joins, or replaces an earlier one of the same id, under a new epoch. Sessions of an earlier one
-- end with worker_lost (or are placed again when they were starting); all berths begin as free, the job stream as empty.
-- Not safe to repeat for sessions that came in between: a second call is a second registration, with an epoch of its own.
--
-- KEYS
--   P:worker:<id>                  hash
--   P:workers                      zset
--   P:berths:<worker>              hash
--   P:free:<worker>                list
--   P:warm:<profile>               zset
--   P:room:<profile>               zset
--   P:spare:<profile>              zset
--   P:carriers:<profile>           set
--   P:profiles                     set
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
--   3  lease_ms
--   4  capacity    number of berths, 1 … 4096
--   5  profiles    names, comma between
--   6  gateway     URL
--   7  driver
--   8  info        JSON
--   9  placement   pack or spread
--   10 pressure    may be missing: 1 if it can start no browsers for sessions yet; the heartbeat tells when it can
-- Output
--   ok             epoch, now
--   not_empty      berths that the worker of this id before it still has: call again at once
--   bad_argument   which
-- Events
--   running → ended, ending → ended, starting → starting, starting → running, starting → queued, starting → ended,
--   queued → starting
--   jobs: claim, start
--@include args
--@include worker
--@include lose
--@include serve
--@include budget
if #ARGV == 9 then ARGV[10] = '0' end
local bad = args.wrong({ 'number', 'name', 'number', 'number', 'names', 'text', 'name', 'text', 'placement', 'flag' })
if bad then return bad end
local now, id, capacity, placement = args.now(ARGV[1]), ARGV[2], tonumber(ARGV[4]), ARGV[9]
local lease_ms = tonumber(ARGV[3])
if lease_ms < 1 then return fail('bad_argument', '3') end
if capacity < 1 or capacity > 4096 then return fail('bad_argument', '4') end
local profiles, known = {}, {}
for p in string.gmatch(ARGV[5], '[^,]+') do
  if #p > 64 then return fail('bad_argument', '5') end
  if not known[p] then
    known[p] = true
    profiles[#profiles + 1] = p
  end
end

local enough = budget.start()
local old = worker.load(id)
if old then
  lose.begin(old)
  local _, left = lose.berths(old, old.capacity, now, placement, enough)
  if left > 0 then return fail('not_empty', left) end
end
local epoch = redis.call('HINCRBY', key.cell(), 'epoch', 1)
-- A new cell counts on from the clock (ms since 2020), for it may be an old one whose data was lost: its workers' epochs, and
-- with them the turns they still report, must not be given out again.
if epoch == 1 and now > 1577836800000 then
  epoch = redis.call('HINCRBY', key.cell(), 'epoch', now - 1577836800000)
end
local w = worker.create(id, epoch, capacity, table.concat(profiles, ','), session.number(now + lease_ms), {
  'gateway', ARGV[6], 'driver', ARGV[7], 'info', ARGV[8], 'registered', session.number(now), 'seen', session.number(now), 'pressure', ARGV[10],
})
serve.worker(w, now, enough)
return ok(epoch, now)
