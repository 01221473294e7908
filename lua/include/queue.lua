--@include keys
--@include session
-- queue: who waits for a profile, in the order of fair tags (docs/protocol.md, Fair queue). Callers move the session's state.
local queue = {}

function queue.vtime(profile)
  return tonumber(redis.call('HGET', key.cell(), 'vtime:' .. profile) or 0)
end

-- Puts the session into its queue. One that waited before has its tag already; one that was placed without waiting and lost
-- its berth (`again`) goes in front of all who came later, at no cost to its project.
function queue.push(s, again)
  if not s.tag then
    local tag = queue.vtime(s.profile)
    if not again then
      local field = 'tag:' .. s.profile
      local last = tonumber(redis.call('HGET', key.project(s.project), field) or 0)
      tag = math.max(tag, last) + 1
      redis.call('HSET', key.project(s.project), field, tag)
    end
    s.tag = session.number(tag)
  end
  redis.call('ZADD', key.queue(s.profile), s.tag, s.id)
end

-- 1 for the head; 0 for one that does not wait.
function queue.position(s)
  if s.state ~= 'queued' then return 0 end
  local rank = redis.call('ZRANK', key.queue(s.profile), s.id)
  return rank and rank + 1 or 0
end

-- The head's id and when it was created, or nil. An entry without a session (a Redis that lost data) is dropped on the way.
function queue.head(profile)
  while true do
    local id = redis.call('ZRANGE', key.queue(profile), 0, 0)[1]
    if not id then return nil end
    local f = redis.call('HMGET', key.session(id), 'state', 'created')
    if f[1] == 'queued' then return id, tonumber(f[2]) end
    redis.call('ZREM', key.queue(profile), id)
  end
end

-- A profile that no worker carries is known only as long as somebody waits for it.
function queue.forget_profile(profile)
  if redis.call('EXISTS', key.queue(profile)) == 0
    and not redis.call('HGET', key.cell(), 'workers:' .. profile) then
    redis.call('SREM', key.profiles(), profile)
  end
end

-- Takes out the session that is served next.
function queue.serve(s)
  redis.call('ZREM', key.queue(s.profile), s.id)
  if tonumber(s.tag) > queue.vtime(s.profile) then
    redis.call('HSET', key.cell(), 'vtime:' .. s.profile, s.tag)
  end
end

-- Takes out a session that waits no longer. If it held its project's last tag, the turn is given back.
function queue.abandon(s)
  redis.call('ZREM', key.queue(s.profile), s.id)
  local field = 'tag:' .. s.profile
  if redis.call('HGET', key.project(s.project), field) == s.tag then
    redis.call('HSET', key.project(s.project), field, session.number(s.tag - 1))
  end
  queue.forget_profile(s.profile)
end
