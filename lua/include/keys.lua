-- keys: every key of a cell is built here and nowhere else. KEYS[1] is the cell's prefix, `berth:{<cell>}`, so that all keys
-- of a cell share one hash slot. The type and the pattern behind each builder are what headers and scripts/lint-lua go by.
local P
local key = {}

-- Each call says which cell it is for.
function key.begin()
  P = KEYS[1] .. ':'
end

function key.session(id) return P .. 'session:' .. id end -- P:session:<id> hash
function key.worker(id) return P .. 'worker:' .. id end -- P:worker:<id> hash
function key.workers() return P .. 'workers' end -- P:workers zset
function key.berths(worker) return P .. 'berths:' .. worker end -- P:berths:<worker> hash
function key.free(worker) return P .. 'free:' .. worker end -- P:free:<worker> list
function key.warm(profile) return P .. 'warm:' .. profile end -- P:warm:<profile> zset
function key.room(profile) return P .. 'room:' .. profile end -- P:room:<profile> zset
function key.spare(profile) return P .. 'spare:' .. profile end -- P:spare:<profile> zset
function key.carriers(profile) return P .. 'carriers:' .. profile end -- P:carriers:<profile> set
function key.profiles() return P .. 'profiles' end -- P:profiles set
function key.jobs(worker) return P .. 'jobs:' .. worker end -- P:jobs:<worker> stream
function key.queue(profile) return P .. 'queue:' .. profile end -- P:queue:<profile> zset
function key.deadlines() return P .. 'deadlines' end -- P:deadlines zset
function key.project(id) return P .. 'project:' .. id end -- P:project:<id> hash
function key.projects() return P .. 'projects' end -- P:projects set
function key.sessions(project, state) return P .. 'sessions:' .. project .. ':' .. state end -- P:sessions:<project>:<state> zset
function key.idem(project, k) return P .. 'idem:' .. project .. ':' .. k end -- P:idem:<project>:<key> string
function key.cell() return P .. 'cell' end -- P:cell hash
function key.events() return P .. 'events' end -- P:events stream
function key.changed(session) return P .. 'changed:' .. session end -- P:changed:<session> channel
