#!lua flags=allow-oom
-- cancel: the client that was to get this session is gone: the session ends with `cancelled`, and its idempotency key is
-- forgotten, so that a retry creates a new one. A retry that was quicker has adopted the session (lua/admit.lua): then it stays.
--
-- KEYS
--   P:session:<id>                 hash
--   P:sessions:<project>:<state>   zset
--   P:project:<id>                 hash
--   P:idem:<project>:<key>         string
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
-- Output
--   ok             session (flat)
--   not_found      no such session in this project
--   bad_argument   which
-- Events
--   queued → ended, starting → ending, running → ending
--   jobs: stop
--@include args
--@include session
--@include finish
local bad = args.wrong({ 'number', 'session', 'any_name' })
if bad then return bad end
local now = args.now(ARGV[1])
local s = session.load(ARGV[2])
if not s or (ARGV[3] ~= '' and s.project ~= ARGV[3]) then return fail('not_found') end
if s.state == 'ending' or s.state == 'ended' or s.adopted then return ok(session.flat(s)) end

if s.idem then
  local at = key.idem(s.project, s.idem)
  local holder = redis.call('GET', at)
  if holder and string.match(holder, '^%S+') == s.id then redis.call('DEL', at) end
end
finish.session(s, 'cancelled', now)
return ok(session.flat(s))
