#!lua flags=no-writes
-- For the randomised test: the state of a cell in one reply, as JSON. ended sessions come only when this step touched them.
-- ARGV: last event seen, profiles (comma list), projects (comma list)
local P = KEYS[1] .. ':'
local out = { workers = {}, profiles = {}, projects = {}, sessions = {} }
local function call(...) return redis.call(...) end

out.cell = call('HGETALL', P .. 'cell')
out.leases = call('ZRANGE', P .. 'workers', 0, -1, 'WITHSCORES')
for n = 1, #out.leases, 2 do
  local id = out.leases[n]
  local jobs = {}
  for _, e in ipairs(call('XRANGE', P .. 'jobs:' .. id, '-', '+')) do jobs[#jobs + 1] = { e[1], e[2] } end
  out.workers[id] = {
    hash = call('HGETALL', P .. 'worker:' .. id), berths = call('HGETALL', P .. 'berths:' .. id),
    free = call('LRANGE', P .. 'free:' .. id, 0, -1), jobs = jobs,
  }
end
out.carried = call('SMEMBERS', P .. 'profiles')
for p in string.gmatch(ARGV[2], '[^,]+') do
  out.profiles[p] = {
    warm = call('ZRANGE', P .. 'warm:' .. p, 0, -1, 'WITHSCORES'), room = call('ZRANGE', P .. 'room:' .. p, 0, -1, 'WITHSCORES'),
    spare = call('ZRANGE', P .. 'spare:' .. p, 0, -1, 'WITHSCORES'), queue = call('ZRANGE', P .. 'queue:' .. p, 0, -1, 'WITHSCORES'),
    carriers = call('SMEMBERS', P .. 'carriers:' .. p),
  }
end
out.known = call('SMEMBERS', P .. 'projects')
for p in string.gmatch(ARGV[3], '[^,]+') do
  local states = {}
  for n, state in ipairs({ 'queued', 'starting', 'running', 'ending' }) do
    states[n] = call('ZRANGE', P .. 'sessions:' .. p .. ':' .. state, 0, -1, 'WITHSCORES')
  end
  out.projects[p] = { hash = call('HGETALL', P .. 'project:' .. p), states = states, ended = call('ZCARD', P .. 'sessions:' .. p .. ':ended') }
end
out.deadlines = call('ZRANGE', P .. 'deadlines', 0, -1, 'WITHSCORES')
local touched = {}
for n = 1, #out.deadlines, 2 do touched[out.deadlines[n]] = true end
out.events = {}
for _, e in ipairs(call('XRANGE', P .. 'events', '(' .. ARGV[1], '+')) do
  out.events[#out.events + 1] = { e[1], e[2] }
  touched[e[2][2]] = true
end
for id in pairs(touched) do out.sessions[id] = call('HGETALL', P .. 'session:' .. id) end
out.keys = call('DBSIZE')
return cjson.encode(out)
