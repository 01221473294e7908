#!lua flags=no-writes
-- audit: compares what has to agree (invariants 1 to 5 of docs/architecture.md, and the indices) and says what does not, with
-- its keys. It walks in slices; each single comparison is atomic, so that traffic between two calls makes no false findings.
--
-- KEYS
--   P:cell                         hash
--   P:profiles                     set
--   P:carriers:<profile>           set
--   P:room:<profile>               zset
--   P:spare:<profile>              zset
--   P:warm:<profile>               zset
--   P:queue:<profile>              zset
--   P:workers                      zset
--   P:worker:<id>                  hash
--   P:berths:<worker>              hash
--   P:free:<worker>                list
--   P:jobs:<worker>                stream
--   P:projects                     set
--   P:project:<id>                 hash
--   P:sessions:<project>:<state>   zset
--   P:session:<id>                 hash
--   P:deadlines                    zset
-- ARGV
--   1  now      ms, 0: Redis' clock
--   2  cursor   0: from the start; else what the call before answered
--   3  slice    about how many things to look at (20 to 30 us each), at least 1
-- Output
--   ok             next cursor (0: done), things looked at, list of findings
--   bad_argument   which
-- Events
--   none
--@include args
--@include keys
--@include walk
--@include worker
--@include berths
--@include session
local bad = args.wrong({ 'number', 'cursor', 'number' })
if bad then return bad end
local now, slice = args.now(ARGV[1]), tonumber(ARGV[3])
if slice < 1 then return fail('bad_argument', '3') end
local at = walk.parse(ARGV[2])
if not at then return fail('bad_argument', '2') end

local findings = {}
local overdue_ms, awake_ms = 60000, 5000

-- One thing that is not as it should be: the invariant's number or `index`, the keys, what was found and what should be.
local function find(invariant, keys, text, ...)
  findings[#findings + 1] = invariant .. ' ' .. keys .. ': ' .. string.format(text, ...)
end

local function same(invariant, keys, what, is, should)
  if is ~= should then
    find(invariant, keys, '%s is %s, should be %s', what, tostring(is or 'absent'), tostring(should or 'absent'))
  end
end

local function score(k, member)
  local v = redis.call('ZSCORE', k, member)
  return v and tonumber(v) or nil
end

-- The cell: the total of the queues.
local function check_cell()
  local total = 0
  for _, p in ipairs(redis.call('SMEMBERS', key.profiles())) do
    total = total + redis.call('ZCARD', key.queue(p))
  end
  same('5', key.cell() .. ' ' .. key.queue('*'), 'queued', tonumber(redis.call('HGET', key.cell(), 'queued') or 0), total)
  return true
end

-- A profile: nobody waits while there is a place, unless sweep is about to serve them.
local function check_head(p)
  local warm, room, spare = key.warm(p), key.room(p), key.spare(p)
  local unserved = redis.call('HEXISTS', key.cell(), 'unserved') == 1
  if not unserved and redis.call('EXISTS', key.queue(p)) == 1 and redis.call('EXISTS', warm, room, spare) > 0 then
    find('index', key.queue(p) .. ' ' .. warm .. ' ' .. room .. ' ' .. spare, 'a session waits although there is a place')
  end
  local carriers = redis.call('SCARD', key.carriers(p))
  local registered = tonumber(redis.call('HGET', key.cell(), 'workers:' .. p) or 0)
  if registered < carriers then
    find('index', key.cell() .. ' ' .. key.carriers(p), 'workers:%s is %d, carriers are %d', p, registered, carriers)
  end
  return true
end

-- Sweep knows a worker by its lease alone.
local function check_lease(id)
  if not score(key.workers(), id) then find('index', key.workers() .. ' ' .. key.worker(id), 'a worker without a lease') end
end

local function check_carrier(p, id)
  local w = worker.load(id)
  if not w or w.state ~= 'ready' or not worker.carries(w, p) then
    find('index', key.carriers(p) .. ' ' .. key.worker(id), 'not a ready worker that carries it')
  end
  check_lease(id)
end

local function check_open(k, p, id)
  local w = worker.load(id)
  if not w or not worker.open(w) or not worker.carries(w, p) then
    find('index', k .. ' ' .. key.worker(id), 'not an open worker that carries the profile')
  end
end

local function check_warm(p, member)
  local id, i = string.match(member, '^(.*)/(%d+)$')
  local w = id and worker.load(id)
  local b = w and berths.get(w, i)
  if not b or w.state ~= 'ready' or b.state ~= 'warm' or b.profile ~= p then
    find('index', key.warm(p) .. ' ' .. key.berths(id or '?'), '%s is not a warm berth of it on a ready worker', member)
  end
end

local function check_waiting(p, id)
  local f = redis.call('HMGET', key.session(id), 'state', 'profile')
  if f[1] ~= 'queued' or f[2] ~= p then
    find('5', key.queue(p) .. ' ' .. key.session(id), 'not a session that waits for it')
  end
end

local profile_parts = {
  check_head,
  function(p) return walk.members(at, 'SSCAN', key.carriers(p), function(id) check_carrier(p, id) end) end,
  function(p) return walk.members(at, 'ZSCAN', key.room(p), function(id) check_open(key.room(p), p, id) end) end,
  function(p) return walk.members(at, 'ZSCAN', key.spare(p), function(id) check_open(key.spare(p), p, id) end) end,
  function(p) return walk.members(at, 'ZSCAN', key.warm(p), function(m) check_warm(p, m) end) end,
  function(p) return walk.members(at, 'ZSCAN', key.queue(p), function(id) check_waiting(p, id) end) end,
}

-- A berth's session is in the state that fits, and points back.
local fits = { taken = 'running', starting = 'starting', cleaning = 'ending' }
local function check_berth_session(w, i, b)
  local keys = key.berths(w.id) .. ' ' .. key.session(b.session)
  local f = redis.call('HMGET', key.session(b.session), 'state', 'worker', 'berth', 'turn', 'epoch')
  if f[1] ~= fits[b.state] or f[2] ~= w.id or f[3] ~= i or f[4] ~= b.turn or f[5] ~= w.epoch then
    find('3', keys, 'berth %s is %s turn %s; its session is %s on %s berth %s turn %s epoch %s', i, b.state, b.turn,
      f[1] or '-', f[2] or '-', f[3] or '-', f[4] or '-', f[5] or '-')
  end
end

-- What has to be compared at one moment: counts, free list, and how many berths are in each state and warm for each profile. A
-- worker may have thousands, so this looks at no more of a record than it needs.
local function check_sums(w)
  local at_worker, at_berths = key.worker(w.id), key.berths(w.id)
  local counts, warm = { free = 0, starting = 0, warm = 0, taken = 0, cleaning = 0 }, {}
  local free = {}
  for _, i in ipairs(redis.call('LRANGE', key.free(w.id), 0, -1)) do
    if free[i] then find('index', key.free(w.id), 'berth %s is in it twice', i) end
    free[i] = true
  end
  local flat = redis.call('HGETALL', at_berths)
  same('1', at_worker .. ' ' .. at_berths, 'number of berths', #flat / 2, w.capacity)
  for n = 1, #flat, 2 do
    local i, state, profile = flat[n], string.match(flat[n + 1], '^(%a+)|%d+|([^|]*)')
    counts[state] = (counts[state] or 0) + 1
    local on_list = w.state ~= 'lost' and state == 'free' or nil
    if free[i] ~= on_list then
      same('index', at_berths .. ' ' .. key.free(w.id), 'berth ' .. i .. ' on the free list', free[i], on_list)
    end
    if state == 'warm' then warm[profile] = (warm[profile] or 0) + 1 end
  end
  for state, n in pairs(counts) do same('1', at_worker .. ' ' .. at_berths, state, w[state], n) end
  same('1', at_worker, 'sum of the states', w.free + w.starting + w.warm + w.taken + w.cleaning, w.capacity)
  walk.spend(at, math.floor(#flat / 40))
  return warm
end

local function check_worker(id)
  local w = worker.load(id)
  if not w then
    find('index', key.workers() .. ' ' .. key.worker(id), 'no such worker')
    return true
  end
  local warm = check_sums(w)
  local open = worker.open(w)
  for _, p in ipairs(w.profiles) do
    local others = w.warm - (warm[p] or 0)
    same('index', key.carriers(p) .. ' ' .. key.worker(id), id, redis.call('SISMEMBER', key.carriers(p), id),
      w.state == 'ready' and 1 or 0)
    same('index', key.room(p) .. ' ' .. key.worker(id), id, score(key.room(p), id), open and w.free > 0 and w.free or nil)
    same('index', key.spare(p) .. ' ' .. key.worker(id), id, score(key.spare(p), id), open and others > 0 and others or nil)
    same('index', key.profiles() .. ' ' .. key.worker(id), p, redis.call('SISMEMBER', key.profiles(), p), 1)
  end
  same('index', key.jobs(id), 'stream', redis.call('EXISTS', key.jobs(id)), 1)
  return true
end

local function check_berth(id, i)
  local w = worker.load(id)
  local b = w and berths.get(w, i)
  if not b then return end
  if b.state == 'warm' then
    same('index', key.warm(b.profile) .. ' ' .. key.berths(id), id .. '/' .. i, score(key.warm(b.profile), id .. '/' .. i),
      w.state == 'ready' and tonumber(w.epoch) or nil)
  end
  if b.session ~= '' then
    check_berth_session(w, i, b)
  elseif b.state == 'taken' then
    find('3', key.berths(id), 'berth %s is taken by nobody', i)
  end
end

local worker_parts = {
  check_worker,
  function(id) return walk.members(at, 'HSCAN', key.berths(id), function(i) check_berth(id, i) end) end,
}

-- A project's counts.
local function check_counts(project)
  local counts = redis.call('HMGET', key.project(project), 'queued', 'starting', 'running', 'ending')
  for n = 1, 4 do
    local index = key.sessions(project, session.states[n])
    same('4', key.project(project) .. ' ' .. index, session.states[n], tonumber(counts[n] or 0), redis.call('ZCARD', index))
  end
  same('index', key.projects() .. ' ' .. key.project(project), 'hash', redis.call('EXISTS', key.project(project)), 1)
  return true
end

local project_parts = { check_counts }
for n = 1, 4 do
  local state = session.states[n]
  project_parts[n + 1] = function(project)
    return walk.members(at, 'ZSCAN', key.sessions(project, state), function(id)
      local f = redis.call('HMGET', key.session(id), 'state', 'project')
      if f[1] ~= state or f[2] ~= project then
        find('4', key.sessions(project, state) .. ' ' .. key.session(id), 'the session is %s of %s', f[1] or '-', f[2] or '-')
      end
    end)
  end
end

-- A live session is in the index of its state and in no other, in the queue or in its berth, and sweep will see it.
local function check_live(id, s)
  local at_session = key.session(id)
  for n = 1, 5 do
    local index = key.sessions(s.project, session.states[n])
    same('2', at_session .. ' ' .. index, s.state .. ' session', score(index, id),
      s.state == session.states[n] and tonumber(s.created) or nil)
  end
  same('index', key.projects() .. ' ' .. at_session, s.project, redis.call('SISMEMBER', key.projects(), s.project), 1)
  local tag = score(key.queue(s.profile), id)
  if s.state == 'queued' then
    same('5', key.queue(s.profile) .. ' ' .. at_session, 'tag', tag, tonumber(s.tag))
    same('index', key.profiles() .. ' ' .. at_session, s.profile, redis.call('SISMEMBER', key.profiles(), s.profile), 1)
    return
  end
  same('5', key.queue(s.profile) .. ' ' .. at_session, 'tag', tag, nil)
  local w = s.worker and worker.load(s.worker)
  local b = w and berths.get(w, s.berth)
  if not b or w.epoch ~= s.epoch or b.session ~= id or b.turn ~= s.turn then
    find('3', at_session .. ' ' .. key.berths(s.worker or '?'), '%s, but its berth %s has %s turn %s', s.state,
      tostring(s.berth), b and b.session or 'nothing', b and b.turn or '-')
  end
  if s.worker then check_lease(s.worker) end
end

local swept = tonumber(redis.call('HGET', key.cell(), 'swept') or 0)
local function check_deadline(id)
  local s = session.load(id)
  if not s or s.state == 'ended' then
    find('index', key.deadlines() .. ' ' .. key.session(id), 'not a live session')
    return
  end
  local due = score(key.deadlines(), id)
  if due < now - overdue_ms and swept > now - awake_ms then
    find('index', key.deadlines() .. ' ' .. key.session(id), '%s, overdue by %d ms', s.state, now - due)
  end
  check_live(id, s)
end

-- Every session hash there is: live ones must be known to sweep, ended ones must be listed and expire.
local function check_session(k)
  local f = redis.call('HMGET', k, 'id', 'state', 'project', 'ended')
  local id, state = f[1], f[2]
  if not id then
    find('2', k, 'a session without an id')
  elseif state ~= 'ended' then
    if not score(key.deadlines(), id) then find('2', k .. ' ' .. key.deadlines(), '%s, without a deadline', tostring(state)) end
  else
    local index = key.sessions(f[3], 'ended')
    if now - tonumber(f[4]) < session.day_ms - overdue_ms then
      same('index', k .. ' ' .. index, 'ended session', score(index, id), tonumber(f[4]))
    end
    if redis.call('PTTL', k) < 0 then find('index', k, 'ended, but does not expire') end
  end
end

local phases = {
  check_cell,
  function() return walk.names(at, 'SSCAN', key.profiles(), profile_parts) end,
  function() return walk.names(at, 'ZSCAN', key.workers(), worker_parts) end,
  function() return walk.names(at, 'SSCAN', key.projects(), project_parts) end,
  function() return walk.members(at, 'ZSCAN', key.deadlines(), check_deadline) end,
  function() return walk.keyspace(at, key.session('*'), check_session) end,
}
at.left = slice
local cursor = walk.phases(at, phases)
return ok(cursor, slice - at.left, findings)
