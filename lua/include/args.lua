--@include reply
-- args: every ARGV is checked before the first write, for a script that fails half way is not rolled back.
local args = {}

-- What a type accepts: {pattern, greatest length, further test}.
args.types = {
  number = { '^%d+$', 15 },
  flag = { '^[01]$', 1 },
  name = { '^[A-Za-z0-9._-]+$', 64 },
  any_name = { '^[A-Za-z0-9._-]*$', 64 },
  names = { '^[A-Za-z0-9._-]+[A-Za-z0-9._,-]*$', 4096 },
  session = { '^[a-z0-9]+%-[a-z2-7]+$', 41 },
  secret = { '^[A-Za-z0-9-]+$', 80 },
  placement = { '^[a-z]+$', 6, function(v) return v == 'pack' or v == 'spread' end },
  amount = { '^[%d.]+$', 20, function(v) return tonumber(v) ~= nil end },
  limit = { '^[%d-]*$', 9, function(v) return v == '' or v == '-' or string.find(v, '^%d+$') ~= nil end },
  maybe = { '^%d*$', 15 },
  text = { nil, 65536 },
  hash = { '^[%w]*$', 128 },
  word = { '^[a-z_]*$', 32 },
  cursor = { nil, 256 },
}

-- Compares ARGV with a list of type names, one for each argument. Returns nil, or the answer to give.
function args.wrong(spec)
  if #ARGV ~= #spec then return fail('bad_argument', 'count') end
  for i = 1, #spec do
    local t, v = args.types[spec[i]], ARGV[i]
    local good = #v <= t[2] and (t[1] == nil or string.find(v, t[1]) ~= nil)
    if not good or (t[3] and not t[3](v)) then return fail('bad_argument', tostring(i)) end
  end
  return nil
end

-- The time in ms that counts in this call: the caller's, or Redis' own where the caller says 0.
function args.now(given)
  local now = tonumber(given)
  if now > 0 then return now end
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
