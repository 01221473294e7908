--@include keys
--@include worker
--@include berths
--@include session
--@include queue
--@include jobs
-- place: finds a berth for a session: a warm one; else a free one; else another profile's warm one.
-- Placement is `pack` (fill up workers, so that others can leave) or `spread`.
local place = {}

-- How many workers are compared for a cold start.
place.compared = 8
-- How often a session is started before it is given up.
place.attempts = 3

-- The session's fields that name its berth; what is said of an earlier attempt is forgotten.
function place.fields(w, i, b, more)
  more.worker, more.berth, more.turn, more.epoch, more.gateway = w.id, i, b.turn, w.epoch, w.gateway
  more.message = false
  return more
end

-- Gives the session a warm berth of its profile: it runs.
function place.claim(s, w, i, b, now)
  berths.claim(w, i, b, s.id)
  session.move(s, 'running', now, place.fields(w, i, b, {
    secret = b.secret, timings = b.timings ~= '' and b.timings, warm = '1', expires = session.number(now + s.timeout_ms),
  }))
  jobs.claim(w, i, b, s)
end

-- Starts the session in a free berth (taken off the list), or in a warm one of another profile.
function place.start(s, w, i, b, now)
  berths.start(w, i, b, s.profile, s.id)
  session.move(s, 'starting', now, place.fields(w, i, b, {
    secret = false, timings = false, warm = '0', attempts = session.number(s.attempts + 1),
  }))
  jobs.start(w, i, b, s)
end

-- A number from 0 to n - 1 that the session's id decides: ids are random, and a test can repeat what happened.
function place.draw(id, n)
  local h = 0
  for _, byte in ipairs({ string.byte(id, -6, -1) }) do h = h * 31 + byte end
  return h % n
end

-- A warm berth of the session's profile: worker, index; or nil. pack: of the worker that is registered longest; spread: any.
function place.warm(s, placement)
  local at, n = key.warm(s.profile), 0
  if placement == 'spread' then
    local all = redis.call('ZCARD', at)
    if all == 0 then return nil end
    n = place.draw(s.id, all)
  end
  local member = redis.call('ZRANGE', at, n, n)[1]
  if not member then return nil end
  local id, i = string.match(member, '^(.*)/(%d+)$')
  return worker.load(id), i
end

-- The worker for a cold start in a free berth, or nil: of a few candidates the one that starts the fewest browsers, then the
-- one with the idlest CPU.
function place.room(profile, placement)
  local ids
  if placement == 'pack' then
    ids = redis.call('ZRANGE', key.room(profile), 0, place.compared - 1)
  else
    ids = redis.call('ZREVRANGE', key.room(profile), 0, place.compared - 1)
  end
  local best, best_starting, best_cpu
  for _, id in ipairs(ids) do
    local f = redis.call('HMGET', key.worker(id), 'starting', 'cpu')
    local starting, cpu = tonumber(f[1]), tonumber(f[2])
    if not best or starting < best_starting or (starting == best_starting and cpu < best_cpu) then
      best, best_starting, best_cpu = id, starting, cpu
    end
  end
  return best and worker.load(best)
end

-- A warm berth on this worker that `profile` may evict: its index, or nil.
function place.evictable(w, profile)
  for _, p in ipairs(w.profiles) do
    if p ~= profile then
      local member = redis.call('ZRANGEBYSCORE', key.warm(p), w.epoch, w.epoch, 'LIMIT', 0, 1)[1]
      if member then return string.match(member, '(%d+)$') end
    end
  end
  return nil
end

-- Places the session if there is any place for it: true, or false with nothing changed.
function place.now(s, now, placement)
  local w, i = place.warm(s, placement)
  if w then
    place.claim(s, w, i, berths.get(w, i), now)
    return true
  end
  w = place.room(s.profile, placement)
  if w then
    local b
    i, b = berths.pop_free(w)
    if i then
      place.start(s, w, i, b, now)
      return true
    end
  end
  local id = redis.call(placement == 'pack' and 'ZRANGE' or 'ZREVRANGE', key.spare(s.profile), 0, 0)[1]
  if id then
    w = worker.load(id)
    i = place.evictable(w, s.profile)
    if i then
      place.start(s, w, i, berths.get(w, i), now)
      return true
    end
  end
  return false
end

-- The berth of a starting session is gone. It is placed once more, or waits again with its old tag and deadline, or ends with
-- `cause` (what became of its last attempt) when it was started too often.
function place.again(s, cause, now, placement, message)
  if tonumber(s.attempts) >= place.attempts then
    session.move(s, 'ended', now, { reason = cause, message = message })
  elseif not place.now(s, now, placement) then
    queue.push(s, true)
    session.move(s, 'queued', now, {
      tag = s.tag, worker = false, berth = false, turn = false, epoch = false, gateway = false, secret = false,
      starting = false, warm = false, message = message,
    })
  end
end
