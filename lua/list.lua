#!lua flags=no-writes
-- list: a page of a project's sessions, state by state, the newest first within each. The cursor names the last session given,
-- so new sessions do not shift a page; one that changes its state between two pages may be missed or come twice.
--
-- KEYS
--   P:sessions:<project>:<state>   zset
--   P:session:<id>                 hash
-- ARGV
--   1  now       ms, 0: Redis' clock
--   2  project
--   3  state     empty: all
--   4  cursor    empty: from the start
--   5  count     1 … 1000
-- Output
--   ok             next cursor (empty: the end), list of sessions (flat each)
--   bad_argument   which
-- Events
--   none
--@include args
--@include session
local bad = args.wrong({ 'number', 'name', 'word', 'cursor', 'number' })
if bad then return bad end
local project, count = ARGV[2], tonumber(ARGV[5])
if count < 1 or count > 1000 then return fail('bad_argument', '5') end
local states, first = session.states, 1
if ARGV[3] ~= '' then states = { ARGV[3] } end
local score, last = '+inf', nil
if ARGV[4] ~= '' then
  local state
  state, score, last = string.match(ARGV[4], '^([a-z]+) (%d+) ([a-z0-9-]+)$')
  first = nil
  for n, name in ipairs(states) do
    if name == state then first = n end
  end
  if not first then return fail('bad_argument', '4') end
end
if ARGV[3] ~= '' and not session.is_state[ARGV[3]] then return fail('bad_argument', '3') end

local found, cursor = {}, nil
-- Adds the sessions of one state that come after (score, last), which is the order of the index backwards.
local function add(state)
  local at, offset = key.sessions(project, state), 0
  while true do
    local page = redis.call('ZREVRANGEBYSCORE', at, score, '-inf', 'WITHSCORES', 'LIMIT', offset, count)
    for n = 1, #page, 2 do
      local id, its = page[n], page[n + 1]
      if not last or its ~= score or id < last then
        if #found == count then return false end
        local s = session.load(id)
        if s then found[#found + 1] = session.flat(s) end
        cursor = state .. ' ' .. its .. ' ' .. id
      end
    end
    if #page < 2 * count then return true end
    offset = offset + count
  end
end

local complete = true
for n = first, #states do
  complete = add(states[n])
  if not complete then break end
  score, last = '+inf', nil
end
return ok(complete and '' or cursor, found)
