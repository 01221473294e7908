#!lua flags=allow-oom
-- sweep: does what time has made due, at most `slice` things a call and about 2 ms: takes lost workers apart, and acts on passed deadlines.
-- When nobody has swept for a while (Redis or all replicas were away), workers could not renew their leases: all leases then
-- run anew before any worker is judged, and a start gets as long to report. It also serves those for whom
-- another call had no time left, and forgets projects that nobody uses.
--
-- KEYS
--   P:cell                         hash
--   P:workers                      zset
--   P:worker:<id>                  hash
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
--   P:projects                     set
--   P:deadlines                    zset
--   P:events                       stream
--   P:changed:<session>            channel
-- ARGV
--   1  now         ms, 0: Redis' clock
--   2  lease_ms    a worker's lease
--   3  slice       most things to do, at least 1
--   4  placement   pack or spread
-- Output
--   ok             things done, 1 if there is more
--   bad_argument   which
-- Events
--   queued → ended, starting → ending, running → ending, running → ended, ending → ended, starting → ended,
--   starting → starting, starting → running, starting → queued
--   jobs: stop, claim, start
--@include args
--@include worker
--@include session
--@include berths
--@include finish
--@include lose
--@include jobs
--@include serve
--@include budget
local bad = args.wrong({ 'number', 'number', 'number', 'placement' })
if bad then return bad end
local now, lease_ms, slice, placement = args.now(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
if lease_ms < 1 then return fail('bad_argument', '2') end
if slice < 1 then return fail('bad_argument', '3') end
local done = 0

local enough = budget.start()
local cell = redis.call('HMGET', key.cell(), 'swept', 'grace_until', 'unserved')
local grace_until = tonumber(cell[2] or 0)
redis.call('HSET', key.cell(), 'swept', session.number(now))
if now - tonumber(cell[1] or 0) > math.max(3000, lease_ms / 3) then
  grace_until = now + lease_ms
  redis.call('HSET', key.cell(), 'grace_until', session.number(grace_until))
end

-- All workers whose lease is over are marked before any is taken apart, so that no session moves from one to the next of them;
-- so many in one call.
local marked_at_once, all_marked = 50, true
if now >= grace_until then
  local most = math.min(slice, marked_at_once)
  local over = redis.call('ZRANGEBYSCORE', key.workers(), '(0', now, 'LIMIT', 0, most)
  for _, id in ipairs(over) do
    local w = worker.load(id)
    if w then
      lose.begin(w)
    else
      redis.call('ZREM', key.workers(), id)
    end
  end
  done, all_marked = #over, #over < most
end
while all_marked and done < slice and not enough(0) do
  local id = redis.call('ZRANGEBYSCORE', key.workers(), 0, 0, 'LIMIT', 0, 1)[1]
  if not id then break end
  local w = worker.load(id)
  if w then
    done = done + lose.berths(w, slice - done, now, placement, enough)
  else
    redis.call('ZREM', key.workers(), id)
  end
end

-- The stop job may be lost, or its answer; what ends is asked for until somebody confirms.
local function stop_again(s)
  local w = worker.load(s.worker)
  local b = w and w.epoch == s.epoch and berths.get(w, s.berth)
  if b and b.session == s.id and b.turn == s.turn then
    jobs.stop(w, s.berth, s.turn, s.profile, s.id, s.reason)
    redis.call('ZADD', key.deadlines(), session.deadline(s, 'ending', now), s.id)
  else
    session.move(s, 'ended', now, {})
  end
end

local function act(id)
  local s = session.load(id)
  if not s or s.state == 'ended' then
    redis.call('ZREM', key.deadlines(), id)
  elseif s.state == 'queued' then
    finish.session(s, 'queue_timeout', now)
  elseif s.state == 'running' then
    finish.session(s, 'timeout', now)
  elseif s.state == 'ending' then
    stop_again(s)
  elseif now < grace_until then
    redis.call('ZADD', key.deadlines(), session.number(grace_until), id)
  else
    finish.session(s, 'start_failed', now, 'the browser did not start in time')
  end
end

local due = {}
if done < slice then
  due = redis.call('ZRANGEBYSCORE', key.deadlines(), '-inf', now, 'LIMIT', 0, slice - done)
end
local late = false
for _, id in ipairs(due) do
  late = enough(budget.session)
  if late then break end
  act(id)
  done = done + 1
end
if cell[3] and not serve.rest(now, placement, enough) then late = true end

-- Projects come and go as clients name them: one that has no session, those of its last day included, and no limits of its own
-- is forgotten. Each call looks at a few.
local function forget_if_idle(project)
  local f = redis.call('HMGET', key.project(project), 'queued', 'starting', 'running', 'ending', 'concurrency', 'queue')
  local live = tonumber(f[1] or 0) + tonumber(f[2] or 0) + tonumber(f[3] or 0) + tonumber(f[4] or 0)
  if live == 0 and not f[5] and not f[6] and redis.call('EXISTS', key.sessions(project, 'ended')) == 0 then
    redis.call('DEL', key.project(project))
    redis.call('SREM', key.projects(), project)
  end
end

local projects_at = redis.call('HGET', key.cell(), 'projects_at') or '0'
local look = redis.call('SSCAN', key.projects(), projects_at, 'COUNT', 10)
for _, project in ipairs(look[2]) do forget_if_idle(project) end
if look[1] ~= projects_at then redis.call('HSET', key.cell(), 'projects_at', look[1]) end
return ok(done, (late or not all_marked or done >= slice or enough(0)) and 1 or 0)
