#!lua
-- admit: creates a session. It gets a warm berth and runs, or a berth in which its browser is started, or a place in the queue.
-- A call with an id that exists already (an answer was lost) gives that session as it is; so does a known idempotency key,
-- unless its session ended before it ran.
-- A newcomer does not pass those who wait for its profile.
--
-- KEYS
--   P:session:<id>                 hash
--   P:sessions:<project>:<state>   zset
--   P:project:<id>                 hash
--   P:projects                     set
--   P:idem:<project>:<key>         string
--   P:deadlines                    zset
--   P:queue:<profile>              zset
--   P:worker:<id>                  hash
--   P:berths:<worker>              hash
--   P:free:<worker>                list
--   P:warm:<profile>               zset
--   P:room:<profile>               zset
--   P:spare:<profile>              zset
--   P:carriers:<profile>           set
--   P:jobs:<worker>                stream
--   P:cell                         hash
--   P:events                       stream
--   P:changed:<session>            channel
-- ARGV
--   1  now           ms, 0: Redis' clock
--   2  session       id
--   3  project
--   4  profile
--   5  timeout_ms    greatest time it runs, from when it runs, at least 1
--   6  idle_ms       for the worker, 0: none
--   7  keep_alive    0 or 1, for the worker
--   8  wait_ms       longest wait in the queue, from now
--   9  start_ms      longest time one start may take
--   10 placement     pack or spread
--   11 concurrency   limit of sessions queued, starting and running, where the project has none of its own; 0: none
--   12 queue         limit of sessions that wait, where the project has none of its own; 0: nobody waits
--   13 total         limit of sessions that wait in the cell
--   14 meta          JSON or empty
--   15 idempotency   key, or empty
--   16 body          hash of the body, to go with the key
-- Output
--   ok                     position (0: not queued), repeated 0 or 1, session (flat)
--   concurrency_limit      limit, used
--   project_queue_full     limit, used
--   queue_full             limit, used
--   no_worker              no ready worker carries the profile
--   idempotency_mismatch   the key was used with another body
--   bad_argument           which
-- Events
--   (new) → running, (new) → starting, (new) → queued
--   jobs: claim, start
--@include args
--@include session
--@include queue
--@include place
local bad = args.wrong({ 'number', 'session', 'name', 'name', 'number', 'number', 'flag', 'number', 'number', 'placement',
  'number', 'number', 'number', 'text', 'text', 'hash' })
if bad then return bad end
local now, id, project, profile = args.now(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local timeout_ms, wait_ms, placement, idem, body = tonumber(ARGV[5]), tonumber(ARGV[8]), ARGV[10], ARGV[15], ARGV[16]
if timeout_ms < 1 then return fail('bad_argument', '5') end
if #idem > 255 then return fail('bad_argument', '15') end

local function repeated(s)
  return ok(queue.position(s), 1, session.flat(s))
end

if redis.call('EXISTS', key.session(id)) == 1 then
  local s = session.load(id)
  if s.project ~= project then return fail('bad_argument', '2') end
  return repeated(s)
end
if idem ~= '' then
  local known = redis.call('GET', key.idem(project, idem))
  local s_id, hash = string.match(known or '', '^(%S+) (.*)$')
  local s = s_id and session.load(s_id)
  -- One that ended before it ran was answered with an error, and the repeat is another try.
  if s and (session.live(s) or s.running) then
    if hash ~= body then return fail('idempotency_mismatch') end
    -- A second client counts on it: the first one's hang-up, noticed late, must not cancel it (lua/cancel.lua).
    if session.live(s) and not s.adopted then session.write(s, { adopted = '1' }) end
    return repeated(s)
  end
end

local limits = redis.call('HMGET', key.project(project), 'concurrency', 'queue', 'queued', 'starting', 'running', 'ending')
local queued = tonumber(limits[3] or 0)
local concurrency, used = tonumber(limits[1] or ARGV[11]), queued + tonumber(limits[4] or 0) + tonumber(limits[5] or 0)
if concurrency > 0 and used >= concurrency then
  return fail('concurrency_limit', concurrency, used)
end

local s = {
  id = id, project = project, profile = profile, created = session.number(now), timeout_ms = ARGV[5], idle_ms = ARGV[6],
  keep_alive = ARGV[7], start_ms = ARGV[9], queue_deadline = session.number(now + wait_ms), attempts = '0',
  meta = ARGV[14] ~= '' and ARGV[14] or nil, idem = idem ~= '' and idem or nil,
}
if redis.call('EXISTS', key.queue(profile)) == 1 or not place.now(s, now, placement) then
  if redis.call('EXISTS', key.carriers(profile)) == 0 then return fail('no_worker') end
  local limit, total = tonumber(limits[2] or ARGV[12]), tonumber(ARGV[13])
  if queued >= limit then return fail('project_queue_full', limit, queued) end
  local waiting = tonumber(redis.call('HGET', key.cell(), 'queued') or 0)
  if waiting >= total then return fail('queue_full', total, waiting) end
  queue.push(s)
  session.move(s, 'queued', now, {})
end
if not (limits[3] or limits[4] or limits[5] or limits[6]) then redis.call('SADD', key.projects(), project) end
if idem ~= '' then
  redis.call('SET', key.idem(project, idem), id .. ' ' .. body, 'PX', session.day_ms)
end
return ok(queue.position(s), 0, session.flat(s))
