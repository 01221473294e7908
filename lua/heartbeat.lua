#!lua flags=allow-oom
-- heartbeat: renews a worker's lease and takes its load. Under pressure a worker starts no browsers for sessions; when the
-- pressure ends, it serves the queues.
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
--   4  lease_ms
--   5  pressure    0 or 1
--   6  cpu         percent
--   7  mem         percent
--   8  load
--   9  crashes     since the process started
--   10 placement   pack or spread (unused: who is served is served here)
-- Output
--   ok               state, now, free, starting, warm, taken, cleaning
--   stale_epoch      another process registered this id
--   unknown_worker   the lease was lost: register again
--   bad_argument     which
-- Events
--   queued → starting
--   jobs: claim, start
--@include args
--@include worker
--@include serve
local bad = args.wrong({ 'number', 'name', 'number', 'number', 'flag', 'amount', 'amount', 'amount', 'number', 'placement' })
if bad then return bad end
local now, lease_ms = args.now(ARGV[1]), tonumber(ARGV[4])
if lease_ms < 1 then return fail('bad_argument', '4') end
local w, refused = worker.fence(ARGV[2], ARGV[3])
if not w then return refused end

local pressure = ARGV[5]
redis.call('ZADD', key.workers(), session.number(now + lease_ms), w.id)
redis.call('HSET', key.worker(w.id), 'pressure', pressure, 'cpu', ARGV[6], 'mem', ARGV[7], 'load', ARGV[8], 'crashes', ARGV[9],
  'seen', session.number(now))
if w.pressure ~= pressure then
  w.pressure = pressure
  worker.reindex(w)
  serve.worker(w, now)
end
return ok(w.state, now, w.free, w.starting, w.warm, w.taken, w.cleaning)
