#!lua flags=allow-oom
-- ready: the browser that a session was started with is up: the session runs.
--
-- KEYS
--   P:worker:<id>                  hash
--   P:berths:<worker>              hash
--   P:room:<profile>               zset
--   P:session:<id>                 hash
--   P:sessions:<project>:<state>   zset
--   P:project:<id>                 hash
--   P:deadlines                    zset
--   P:cell                         hash
--   P:events                       stream
--   P:changed:<session>            channel
-- ARGV
--   1  now       ms, 0: Redis' clock
--   2  worker
--   3  epoch
--   4  berth
--   5  turn
--   6  session
--   7  secret
--   8  timings   JSON or empty
-- Output
--   ok
--   stale_turn       the berth has moved on
--   session_gone     the session ends already: a stop job is on its way
--   stale_epoch      another process registered this id
--   unknown_worker   the lease was lost: register again
--   bad_argument     which
-- Events
--   starting → running
--   jobs: none
--@include args
--@include worker
--@include berths
--@include session
local bad = args.wrong({ 'number', 'name', 'number', 'number', 'number', 'session', 'secret', 'text' })
if bad then return bad end
local now, i, id, secret = args.now(ARGV[1]), ARGV[4], ARGV[6], ARGV[7]
local w, refused = worker.fence(ARGV[2], ARGV[3])
if not w then return refused end
local b = berths.get(w, i)
if not b or b.turn ~= ARGV[5] then return fail('stale_turn') end
if b.session == id and b.state == 'taken' and b.secret == secret then return ok() end
local s = session.load(id)
if not s or s.state == 'ending' or s.state == 'ended' then return fail('session_gone') end
if b.session ~= id or b.state ~= 'starting' then return fail('stale_turn') end

berths.ready(w, i, b, secret)
session.move(s, 'running', now, {
  secret = secret, timings = ARGV[8] ~= '' and ARGV[8], expires = session.number(now + s.timeout_ms),
})
return ok()
