--@include keys
--@include worker
--@include berths
--@include session
--@include queue
--@include place
--@include budget
-- serve: a worker has something to give (a berth became free or warm, its pressure is over, it is new): the heads of its
-- profiles' queues take it, the one that waits longest first.
local serve = {}

-- Serves one session: true, or false when nobody waits or nothing is left.
function serve.one(w, now)
  if w.state ~= 'ready' or w.free + w.warm == 0 then return false end
  local best, since, profile
  for _, p in ipairs(w.profiles) do
    local id, created = queue.head(p)
    if id then
      local warm = w.warm > 0
        and redis.call('ZRANGEBYSCORE', key.warm(p), w.epoch, w.epoch, 'LIMIT', 0, 1)[1]
      if warm then
        local s, i = session.load(id), string.match(warm, '(%d+)$')
        queue.serve(s)
        place.claim(s, w, i, berths.get(w, i), now)
        return true
      end
      if not best or created < since then best, since, profile = id, created, p end
    end
  end
  if not best or not worker.open(w) then return false end
  local i, b = berths.pop_free(w)
  if not i then
    i = place.evictable(w, profile)
    if not i then return false end
    b = berths.get(w, i)
  end
  local s = session.load(best)
  queue.serve(s)
  place.start(s, w, i, b, now)
  return true
end

-- Serves until nothing is left to give or nobody waits. Where one event frees many places it may stop before that, and sweep goes
-- on. `enough`: the call's budget, if it has one.
function serve.worker(w, now, enough)
  enough = enough or budget.start()
  while serve.one(w, now) do
    if enough(budget.session) then
      redis.call('HSET', key.cell(), 'unserved', 1)
      return
    end
  end
end

-- What serve.worker has left: whoever waits for any profile takes any place. True when all is done.
function serve.rest(now, placement, enough)
  for _, p in ipairs(redis.call('SMEMBERS', key.profiles())) do
    local id = queue.head(p)
    while id do
      if enough(budget.session) then return false end
      local s = session.load(id)
      if not place.now(s, now, placement) then break end
      queue.serve(s)
      id = queue.head(p)
    end
  end
  redis.call('HDEL', key.cell(), 'unserved')
  return true
end
