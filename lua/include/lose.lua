--@include keys
--@include worker
--@include berths
--@include session
--@include place
-- lose: takes a worker apart whose lease is over, or whose process was replaced.
local lose = {}

-- From now on the worker gets nothing and its calls are refused. A lease of 0 marks it for sweep.
function lose.begin(w)
  worker.set_state(w, 'lost')
  redis.call('ZADD', key.workers(), 0, w.id)
  redis.call('DEL', key.free(w.id))
end

-- Takes at most `limit` berths apart: a running session ends with worker_lost, an ending one with the reason it has, a starting
-- one is placed again. Removes the worker with its last berth. Returns how many berths it did.
function lose.berths(w, limit, now, placement)
  local indices = redis.call('HKEYS', key.berths(w.id))
  table.sort(indices, function(a, b) return tonumber(a) < tonumber(b) end)
  local done = math.min(limit, #indices)
  for n = 1, done do
    local b = berths.get(w, indices[n])
    berths.drop(w, indices[n], b)
    local s = b.session ~= '' and session.load(b.session)
    if s and s.state == 'starting' then
      place.again(s, 'worker_lost', now, placement)
    elseif s and s.state == 'running' then
      session.move(s, 'ended', now, { reason = 'worker_lost' })
    elseif s and s.state == 'ending' then
      session.move(s, 'ended', now, {})
    end
  end
  if done == #indices then worker.remove(w) end
  return done
end
