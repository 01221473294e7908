#!lua
-- limits: sets a project's own limits, or reads its hash (both empty). Sessions beyond a lowered limit stay.
--
-- KEYS
--   P:project:<id>   hash
--   P:projects       set
-- ARGV
--   1  now           ms, 0: Redis' clock
--   2  project
--   3  concurrency   0: none; empty: leave; -: back to the API's default
--   4  queue         0: nobody waits; empty: leave; -: back to the API's default
-- Output
--   ok             the project's hash (flat)
--   bad_argument   which
-- Events
--   none
--@include args
--@include keys
local bad = args.wrong({ 'number', 'name', 'limit', 'limit' })
if bad then return bad end
local project = ARGV[2]
local at = key.project(project)

local function set(field, value)
  if value == '-' then
    redis.call('HDEL', at, field)
  elseif value ~= '' then
    redis.call('HSET', at, field, tonumber(value))
  end
end

set('concurrency', ARGV[3])
set('queue', ARGV[4])
if ARGV[3] .. ARGV[4] ~= '' then
  redis.call(redis.call('EXISTS', at) == 1 and 'SADD' or 'SREM', key.projects(), project)
end
return ok(redis.call('HGETALL', at))
