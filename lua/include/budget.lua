-- budget: bounds how long one call keeps Redis from everybody else; what is left over is done by a later call. Counted in
-- microseconds that steps take on an ordinary machine, not measured: the same call then does the same everywhere.
local budget = {}

budget.us = 2000

-- What one step takes: a berth without a session, a session that ends or is placed.
budget.berth, budget.session = 4, 40

-- A function to call before each step with what the step takes: true if there is no time left for it. The first one is always done.
function budget.start()
  local used = 0
  return function(us)
    if used >= budget.us then return true end
    used = used + us
    return false
  end
end
