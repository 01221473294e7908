--@include keys
-- session: the one writer of a session's state, with all that follows from it: the project's and the cell's counts, the index
-- by state, the deadline, timestamps, the event, the hint to who waits, and the expiry at the end.
--
-- A session's table has the fields of its hash, all strings, nil where absent. There is one table per session in a script run.
local session = {}

function session.begin()
  session.seen = {}
end

session.day_ms = 86400000
session.events_kept = 10000
-- How long a worker has to confirm a stop before it is told again.
session.stop_again_ms = 15000

-- In the order in which they are listed.
session.states = { 'queued', 'starting', 'running', 'ending', 'ended' }
session.is_state = { queued = true, starting = true, running = true, ending = true, ended = true }
-- Why a session ended.
session.reasons = {
  released = true, timeout = true, idle = true, disconnected = true, cancelled = true, queue_timeout = true,
  start_failed = true, browser_crashed = true, worker_lost = true, drained = true,
}

-- The order of fields in an answer.
session.fields = {
  'id', 'project', 'profile', 'state', 'reason', 'worker', 'berth', 'turn', 'epoch', 'secret', 'gateway', 'created', 'queued',
  'starting', 'running', 'ending', 'ended', 'timeout_ms', 'idle_ms', 'keep_alive', 'start_ms', 'expires', 'queue_deadline',
  'tag', 'attempts', 'warm', 'meta', 'timings', 'idem', 'adopted', 'message',
}

-- Whole numbers as Redis should see them (Lua's own way turns large ones into 1e+15).
function session.number(n)
  return string.format('%.0f', n)
end

-- The session's table, or nil.
function session.load(id)
  if session.seen[id] then return session.seen[id] end
  local flat = redis.call('HGETALL', key.session(id))
  if not flat[1] then return nil end
  local s = {}
  for i = 1, #flat, 2 do s[flat[i]] = flat[i + 1] end
  session.seen[id] = s
  return s
end

-- The little of a session that has to be known to end it, for session.move alone; or nil. Most sessions are let go of in this state,
-- and reading all of them is what costs.
function session.ending(id)
  local f = redis.call('HMGET', key.session(id), 'state', 'project', 'reason', 'worker', 'berth')
  if f[1] ~= 'ending' then return nil end
  return { id = id, state = f[1], project = f[2], reason = f[3], worker = f[4], berth = f[5] }
end

-- The session as a flat list of fields and values.
function session.flat(s)
  local list = {}
  for _, f in ipairs(session.fields) do
    if s[f] then
      list[#list + 1] = f
      list[#list + 1] = s[f]
    end
  end
  return list
end

function session.live(s)
  return s.state ~= 'ended'
end

-- When sweep has to look at a session that enters `state` now.
function session.deadline(s, state, now)
  if state == 'queued' then return s.queue_deadline end
  if state == 'starting' then return session.number(now + s.start_ms) end
  if state == 'running' then return s.expires end
  return session.number(now + session.stop_again_ms)
end

-- Writes fields: those of `set`, where false removes one. All of them when the session is new.
function session.write(s, set)
  local put, drop = {}, {}
  local new = s.state == nil
  for f, v in pairs(set) do
    if v then
      s[f] = v
      if not new then
        put[#put + 1] = f
        put[#put + 1] = v
      end
    elseif s[f] then
      s[f] = nil
      drop[#drop + 1] = f
    end
  end
  if new then put = session.flat(s) end
  redis.call('HSET', key.session(s.id), unpack(put))
  if drop[1] then redis.call('HDEL', key.session(s.id), unpack(drop)) end
end

-- Counts and indices of a change of state; `from` is nil for a new session.
function session.recount(s, from, to)
  if from then
    redis.call('HINCRBY', key.project(s.project), from, -1)
    redis.call('ZREM', key.sessions(s.project, from), s.id)
  end
  if from == 'queued' then redis.call('HINCRBY', key.cell(), 'queued', -1) end
  if to == 'ended' then return end
  redis.call('HINCRBY', key.project(s.project), to, 1)
  redis.call('ZADD', key.sessions(s.project, to), s.created, s.id)
  if to == 'queued' then redis.call('HINCRBY', key.cell(), 'queued', 1) end
end

-- The end of a session: nothing waits for it, and it is kept for a day.
function session.retire(s, now)
  local ended = key.sessions(s.project, 'ended')
  redis.call('ZREM', key.deadlines(), s.id)
  redis.call('ZADD', ended, session.number(now), s.id)
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', session.number(now - session.day_ms))
  redis.call('PEXPIRE', ended, session.day_ms)
  redis.call('PEXPIRE', key.session(s.id), session.day_ms)
end

-- The one way from state to state. `set` has further fields, false to remove one. The caller has moved the berth or the queue.
-- A state's time is when it was entered last, except `queued`, which keeps the first.
function session.move(s, to, now, set)
  local from = s.state
  assert(from ~= 'ended', 'a session ends once')
  if to ~= 'queued' or not s.queued then set[to] = session.number(now) end
  set.state = to
  session.write(s, set)
  if from ~= to then session.recount(s, from, to) end
  if to == 'ended' then
    session.retire(s, now)
  else
    redis.call('ZADD', key.deadlines(), session.deadline(s, to, now), s.id)
  end
  redis.call('XADD', key.events(), 'MAXLEN', '~', session.events_kept, '*', 'session', s.id, 'project', s.project, 'from',
    from or '', 'to', to, 'reason', s.reason or '', 'worker', s.worker or '', 'berth', s.berth or '')
  if from then redis.call('PUBLISH', key.changed(s.id), to) end
end
