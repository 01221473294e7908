-- reply: the shape of every answer. The first element is a code of shared/errors.def.

-- A success, with what the script's Output says.
local function ok(...)
  return { 'ok', ... }
end

-- Any other code, with its details. Nothing was changed.
local function fail(code, ...)
  return { code, ... }
end
