#!lua flags=allow-oom
-- offer: a reserved berth has its browser. The head of its profile's queue takes it, else it is warm, for whoever comes
-- (at once for another profile's head, which gets a `start` job with a new turn).
-- On a draining worker it is cleaned instead; the answer is `warm` there too, and the stop job says the rest.
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
--   6  profile     the one that was reserved
--   7  secret
--   8  timings     JSON or empty; handed on to the session that takes the berth
--   9  placement   pack or spread (unused: who is served is served here)
-- Output
--   ok               warm or taken
--   stale_turn       the berth has moved on
--   stale_epoch      another process registered this id
--   unknown_worker   the lease was lost: register again
--   bad_argument     which
-- Events
--   queued → running, queued → starting
--   jobs: claim, start, stop
--@include args
--@include worker
--@include berths
--@include serve
--@include jobs
local bad = args.wrong({ 'number', 'name', 'number', 'number', 'number', 'name', 'secret', 'text', 'placement' })
if bad then return bad end
local now, i, secret = args.now(ARGV[1]), ARGV[4], ARGV[7]
local w, refused = worker.fence(ARGV[2], ARGV[3])
if not w then return refused end
local b = berths.get(w, i)
if not b or b.turn ~= ARGV[5] or b.profile ~= ARGV[6] then return fail('stale_turn') end
if b.secret == secret then return ok(b.state) end
if b.state ~= 'starting' or b.session ~= '' then return fail('stale_turn') end

berths.shelve(w, i, b, secret, ARGV[8])
if w.state ~= 'ready' then
  berths.clean(w, i, b, '')
  jobs.stop(w, i, b.turn, b.profile, '', 'drained')
  return ok('warm')
end
serve.worker(w, now)
b = berths.get(w, i)
return ok(b.state == 'taken' and 'taken' or 'warm')
