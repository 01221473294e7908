--@include keys
--@include worker
-- berths: the one writer of a berth's state, with all that follows from it: the worker's counts, its free list, and the
-- room, warm and spare indices.
--
-- A berth's record is `state|turn|profile|session|secret|timings`; as a table it has those fields, turn as a string.
-- The turn rises when the berth leaves `free` and when a warm one is given to another profile.
local berths = {}

-- The berth's table, or nil where the worker has no such berth.
function berths.get(w, i)
  local record = redis.call('HGET', key.berths(w.id), i)
  if not record then return nil end
  local state, turn, profile, session, secret, timings =
    string.match(record, '^(%a+)|(%d+)|([^|]*)|([^|]*)|([^|]*)|(.*)$')
  return { state = state, turn = turn, profile = profile, session = session, secret = secret, timings = timings }
end

-- Writes the record, and the counts when the state has changed from `from`.
function berths.put(w, i, b, from)
  redis.call('HSET', key.berths(w.id), i, b.state .. '|' .. b.turn .. '|' .. b.profile .. '|' .. b.session .. '|' .. b.secret
    .. '|' .. b.timings)
  if from == b.state then return end
  worker.recount(w, from, b.state)
  if from == 'free' or b.state == 'free' then worker.reroom(w) end
end

-- A berth that was warm is not any more.
function berths.leave_warm(w, i, profile)
  redis.call('ZREM', key.warm(profile), w.id .. '/' .. i)
  worker.respare(w, profile, -1)
end

-- Takes a free berth off the list: its index and table, or nil. The caller moves it with berths.start at once.
function berths.pop_free(w)
  local i = redis.call('LPOP', key.free(w.id))
  if not i then return nil end
  return i, berths.get(w, i)
end

-- free → starting, or warm → starting for another profile. `session` is empty when the worker makes a warm one.
function berths.start(w, i, b, profile, session)
  local from = b.state
  if from == 'warm' then berths.leave_warm(w, i, b.profile) end
  b.state, b.turn, b.profile, b.session = 'starting', string.format('%d', b.turn + 1), profile, session
  b.secret, b.timings = '', ''
  berths.put(w, i, b, from)
end

-- starting → warm
function berths.shelve(w, i, b, secret, timings)
  b.state, b.secret, b.timings = 'warm', secret, timings
  redis.call('ZADD', key.warm(b.profile), w.epoch, w.id .. '/' .. i)
  berths.put(w, i, b, 'starting')
  worker.respare(w, b.profile, 1)
end

-- warm → taken
function berths.claim(w, i, b, session)
  b.state, b.session = 'taken', session
  berths.leave_warm(w, i, b.profile)
  berths.put(w, i, b, 'warm')
end

-- starting → taken: the session that it was started for has its browser.
function berths.ready(w, i, b, secret)
  b.state, b.secret = 'taken', secret
  berths.put(w, i, b, 'starting')
end

-- starting, warm or taken → cleaning. `session` is the one that ends with it, or empty.
function berths.clean(w, i, b, session)
  local from = b.state
  if from == 'warm' then berths.leave_warm(w, i, b.profile) end
  b.state, b.session, b.secret, b.timings = 'cleaning', session, '', ''
  berths.put(w, i, b, from)
end

-- All warm → cleaning, of a worker that has just stopped being ready (its warm ones are in no index any more). Returns which:
-- berth, turn, profile each. Written in bulk: there may be thousands.
function berths.clean_warm(w)
  local cleaned, records = {}, {}
  for i = 0, w.warm > 0 and w.capacity - 1 or -1 do
    local b = berths.get(w, i)
    if b.state == 'warm' then
      cleaned[#cleaned + 1] = { berth = i, turn = b.turn, profile = b.profile }
      records[#records + 1] = i
      records[#records + 1] = 'cleaning|' .. b.turn .. '|' .. b.profile .. '|||'
    end
  end
  for n = 1, #records, 1000 do
    redis.call('HSET', key.berths(w.id), unpack(records, n, math.min(#records, n + 999)))
  end
  if cleaned[1] then
    w.warm, w.cleaning = w.warm - #cleaned, w.cleaning + #cleaned
    redis.call('HSET', key.worker(w.id), 'warm', w.warm, 'cleaning', w.cleaning)
  end
  return cleaned
end

-- any → free: the worker says that nothing is left in it.
function berths.free(w, i, b)
  local from = b.state
  if from == 'warm' then berths.leave_warm(w, i, b.profile) end
  b.state, b.profile, b.session, b.secret, b.timings = 'free', '', '', '', ''
  redis.call('RPUSH', key.free(w.id), i)
  berths.put(w, i, b, from)
end

-- any → gone, with its lost worker (which is in no index any more).
function berths.drop(w, i, b)
  redis.call('HDEL', key.berths(w.id), i)
  worker.shrink(w, b.state)
end
