-- walk: goes through large collections a slice at a time. Where it is (`at`) fits into a cursor string: the phase; the scan
-- cursor, name and part of the outer collection; the scan cursor and last member of the inner one. Small collections come as a
-- whole from one scan, whatever its COUNT, in an order that changes; so each batch is sorted and done in the order of names.
-- What is spent is spent after a step forward, so that the smallest slice gets on.
local walk = {}

walk.batch = 20

-- The position that a cursor stands for, or nil where it is none. `0` is the start.
function walk.parse(cursor)
  if cursor == '0' then
    return { phase = 1, outer = '0', name = '', part = 1, inner = '0', member = '' }
  end
  local phase, outer, name, part, inner, member = string.match(cursor, '^(%d+)|(%d+)|([^|]*)|(%d+)|(%d+)|([^|]*)$')
  if not phase then return nil end
  return { phase = tonumber(phase), outer = outer, name = name, part = tonumber(part), inner = inner, member = member }
end

function walk.spend(at, n)
  at.left = at.left - n
end

-- One scan: the next scan cursor, and the names in order. `step` is 2 where each name comes with a value.
function walk.scan(step, command, ...)
  local reply = redis.call(command, ...)
  local names = {}
  for n = 1, #reply[2], step do names[#names + 1] = reply[2][n] end
  table.sort(names)
  return reply[1], names
end

-- Visits the members that a scanning function yields, from where `at` is. False when the slice is used up.
function walk.each(at, scan, visit)
  repeat
    if at.left <= 0 then return false end
    local next_cursor, names = scan(at.inner)
    for _, member in ipairs(names) do
      if member > at.member then
        if at.left <= 0 then return false end
        visit(member)
        walk.spend(at, 1)
        at.member = member
      end
    end
    at.inner, at.member = next_cursor, ''
    walk.spend(at, 1)
  until next_cursor == '0'
  return true
end

-- Visits the members of a set (SSCAN), or of a zset or hash (ZSCAN, HSCAN).
function walk.members(at, command, k, visit)
  return walk.each(at, function(cursor)
    return walk.scan(command == 'SSCAN' and 1 or 2, command, k, cursor, 'COUNT', walk.batch)
  end, visit)
end

-- Visits the keys that match a pattern.
function walk.keyspace(at, pattern, visit)
  return walk.each(at, function(cursor)
    return walk.scan(1, 'SCAN', cursor, 'MATCH', pattern, 'COUNT', walk.batch)
  end, visit)
end

-- For each name of a set or zset, calls each of `parts` with it; a part may walk members of its own and says false when it is not done.
function walk.names(at, command, k, parts)
  repeat
    if at.left <= 0 then return false end
    local next_cursor, names = walk.scan(command == 'SSCAN' and 1 or 2, command, k, at.outer, 'COUNT', walk.batch)
    for _, name in ipairs(names) do
      if name > at.name then
        at.name, at.part, at.inner, at.member = name, 1, '0', ''
      end
      while name == at.name and at.part <= #parts do
        if at.left <= 0 or not parts[at.part](name) then return false end
        walk.spend(at, 1)
        at.part, at.inner, at.member = at.part + 1, '0', ''
      end
    end
    at.outer, at.name, at.part = next_cursor, '', 1
    walk.spend(at, 1)
  until next_cursor == '0'
  return true
end

-- Runs the phases from where `at` is, and returns the cursor for the next call: 0 when all is done.
function walk.phases(at, phases)
  while at.phase <= #phases do
    if at.left <= 0 or not phases[at.phase]() then
      return table.concat({ at.phase, at.outer, at.name, at.part, at.inner, at.member }, '|')
    end
    walk.spend(at, 1)
    at.phase, at.outer, at.name, at.part, at.inner, at.member = at.phase + 1, '0', '', 1, '0', ''
  end
  return '0'
end
