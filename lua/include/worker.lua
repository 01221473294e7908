--@include keys
--@include reply
-- worker: the one writer of a worker's hash and of the indices that lead to it (carriers, room, spare, and the warm ones of a
-- worker that stops being ready). There is one table per worker in a script run (`worker.load` remembers it), so that its
-- counts are never stale.
--
-- A worker is ready, draining, or lost (its lease is over and its berths are being taken apart). It is `open` when it is ready
-- and without pressure: only then does it start browsers for sessions.
local worker = {}

function worker.begin()
  worker.seen = {}
end

-- The names of a comma list, for reading only. Every worker's list is split once: there are few different ones, and what a library
-- remembers outlives the call.
local lists, list_count = {}, 0

function worker.list(text)
  local list = lists[text]
  if list then return list end
  list = {}
  for p in string.gmatch(text, '[^,]+') do list[#list + 1] = p end
  if list_count == 1000 then lists, list_count = {}, 0 end
  lists[text], list_count = list, list_count + 1
  return list
end

-- The worker's table (epoch, state, gateway, profiles as a list, pressure, capacity and counts as numbers), or nil.
function worker.load(id)
  local w = worker.seen[id]
  if w then return w end
  local f = redis.call('HMGET', key.worker(id), 'epoch', 'state', 'gateway', 'profiles', 'pressure', 'capacity', 'free',
    'starting', 'warm', 'taken', 'cleaning')
  if not f[1] then return nil end
  w = {
    id = id, epoch = f[1], state = f[2], gateway = f[3], profiles = worker.list(f[4]), pressure = f[5], capacity = tonumber(f[6]),
    free = tonumber(f[7]), starting = tonumber(f[8]), warm = tonumber(f[9]), taken = tonumber(f[10]),
    cleaning = tonumber(f[11]),
  }
  worker.seen[id] = w
  return w
end

-- The worker, if it is the one that holds this epoch; else nil and the answer to give. This is what keeps out a process
-- that was cut off: its epoch is older than the one in the hash, or the hash is gone.
function worker.fence(id, epoch)
  local w = worker.load(id)
  if not w or w.state == 'lost' then return nil, fail('unknown_worker') end
  if w.epoch ~= epoch then return nil, fail('stale_epoch') end
  return w
end

function worker.open(w)
  return w.state == 'ready' and w.pressure == '0'
end

function worker.carries(w, profile)
  for _, p in ipairs(w.profiles) do
    if p == profile then return true end
  end
  return false
end

-- One berth went from one state to another.
function worker.recount(w, from, to)
  w[from] = w[from] - 1
  w[to] = w[to] + 1
  redis.call('HSET', key.worker(w.id), from, w[from], to, w[to])
end

-- One berth of a lost worker is gone.
function worker.shrink(w, state)
  w[state] = w[state] - 1
  w.capacity = w.capacity - 1
  redis.call('HSET', key.worker(w.id), state, w[state], 'capacity', w.capacity)
end

-- The number of free berths has changed.
function worker.reroom(w)
  if not worker.open(w) then return end
  for _, p in ipairs(w.profiles) do
    if w.free > 0 then
      redis.call('ZADD', key.room(p), w.free, w.id)
    else
      redis.call('ZREM', key.room(p), w.id)
    end
  end
end

-- One more (1) or one less (-1) warm berth of `profile`: the other profiles may evict it.
function worker.respare(w, profile, change)
  if not worker.open(w) then return end
  for _, p in ipairs(w.profiles) do
    if p ~= profile and tonumber(redis.call('ZINCRBY', key.spare(p), change, w.id)) <= 0 then
      redis.call('ZREM', key.spare(p), w.id)
    end
  end
end

-- State or pressure has changed: puts the worker into every index that it belongs to, and out of every other.
-- The score of a warm berth is its worker's epoch, which no other worker has: one command finds or drops all of one worker's.
function worker.reindex(w)
  local ready, open = w.state == 'ready', worker.open(w)
  for _, p in ipairs(w.profiles) do
    redis.call(ready and 'SADD' or 'SREM', key.carriers(p), w.id)
    if not ready then redis.call('ZREMRANGEBYSCORE', key.warm(p), w.epoch, w.epoch) end
  end
  for _, p in ipairs(w.profiles) do
    local others = 0
    if open and w.warm > 0 then others = w.warm - redis.call('ZCOUNT', key.warm(p), w.epoch, w.epoch) end
    if others > 0 then
      redis.call('ZADD', key.spare(p), others, w.id)
    else
      redis.call('ZREM', key.spare(p), w.id)
    end
    if open and w.free > 0 then
      redis.call('ZADD', key.room(p), w.free, w.id)
    else
      redis.call('ZREM', key.room(p), w.id)
    end
  end
end

function worker.set_state(w, state)
  w.state = state
  redis.call('HSET', key.worker(w.id), 'state', state)
  worker.reindex(w)
end

-- A new worker under a new epoch, all berths free. `hash` has the other fields as a flat list.
function worker.create(id, epoch, capacity, profiles, lease, hash)
  redis.call('HSET', key.worker(id), 'id', id, 'epoch', epoch, 'state', 'ready', 'capacity', capacity, 'free', capacity,
    'starting', 0, 'warm', 0, 'taken', 0, 'cleaning', 0, 'cpu', 0, 'mem', 0, 'load', 0, 'crashes', 0,
    'profiles', profiles, unpack(hash))
  redis.call('ZADD', key.workers(), lease, id)
  for from = 0, capacity - 1, 500 do
    local records, indices = {}, {}
    for i = from, math.min(capacity, from + 500) - 1 do
      records[#records + 1] = i
      records[#records + 1] = 'free|0||||'
      indices[#indices + 1] = i
    end
    redis.call('HSET', key.berths(id), unpack(records))
    redis.call('RPUSH', key.free(id), unpack(indices))
  end
  redis.call('XGROUP', 'CREATE', key.jobs(id), 'worker', '0', 'MKSTREAM')
  worker.seen[id] = nil
  local w = worker.load(id)
  for _, p in ipairs(w.profiles) do
    redis.call('SADD', key.profiles(), p)
    redis.call('HINCRBY', key.cell(), 'workers:' .. p, 1)
  end
  worker.reindex(w)
  return w
end

-- Removes every key of a worker that has no session any more and is in no index (draining or lost).
function worker.remove(w)
  redis.call('DEL', key.worker(w.id), key.berths(w.id), key.free(w.id), key.jobs(w.id))
  redis.call('ZREM', key.workers(), w.id)
  for _, p in ipairs(w.profiles) do
    if redis.call('HINCRBY', key.cell(), 'workers:' .. p, -1) <= 0 then
      redis.call('HDEL', key.cell(), 'workers:' .. p)
      if redis.call('EXISTS', key.queue(p)) == 0 then redis.call('SREM', key.profiles(), p) end
    end
  end
  worker.seen[w.id] = nil
end
