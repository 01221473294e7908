--@include keys
--@include worker
--@include berths
--@include session
--@include place
--@include budget
-- lose: takes a worker apart whose lease is over, or whose process was replaced.
local lose = {}

-- From now on the worker gets nothing and its calls are refused. A lease of 0 marks it for sweep.
function lose.begin(w)
  worker.set_state(w, 'lost')
  redis.call('ZADD', key.workers(), 0, w.id)
  redis.call('DEL', key.free(w.id))
end

local function lose_berth(w, i, b, now, placement)
  berths.drop(w, i, b)
  local s = b.session ~= '' and session.load(b.session)
  if s and s.state == 'starting' then
    place.again(s, 'worker_lost', now, placement)
  elseif s and s.state == 'running' then
    session.move(s, 'ended', now, { reason = 'worker_lost' })
  elseif s and s.state == 'ending' then
    session.move(s, 'ended', now, {})
  end
end

-- Takes at most `limit` berths apart, in their order, until `enough` (budget.lua): a running session ends with worker_lost, an
-- ending one with the reason it has, a starting one is placed again. Removes the worker with its last berth. Returns how many
-- berths it did, and how many are left.
function lose.berths(w, limit, now, placement, enough)
  local left, at = 0, math.huge
  for _, i in ipairs(redis.call('HKEYS', key.berths(w.id))) do
    left, at = left + 1, math.min(at, tonumber(i))
  end
  local done = 0
  while left > 0 and done < limit do
    local i = session.number(at)
    local b = berths.get(w, i)
    at = at + 1
    if b then
      if enough(b.session ~= '' and budget.session or budget.berth) then break end
      lose_berth(w, i, b, now, placement)
      done, left = done + 1, left - 1
    end
  end
  if left == 0 then worker.remove(w) end
  return done, left
end
