#!lua flags=allow-oom
-- drain: `drain` stops new sessions on a worker and gives up its warm berths; `undrain` takes that back; `leave` (the worker's
-- own farewell) removes it when no session is left on it.
--
-- KEYS
--   P:worker:<id>                  hash
--   P:workers                      zset
--   P:berths:<worker>              hash
--   P:free:<worker>                list
--   P:warm:<profile>               zset
--   P:room:<profile>               zset
--   P:spare:<profile>              zset
--   P:carriers:<profile>           set
--   P:profiles                     set
--   P:jobs:<worker>                stream
--   P:queue:<profile>              zset
--   P:session:<id>                 hash
--   P:sessions:<project>:<state>   zset
--   P:project:<id>                 hash
--   P:deadlines                    zset
--   P:cell                         hash
--   P:events                       stream
--   P:changed:<session>            channel
-- ARGV
--   1  now         ms, 0: Redis' clock
--   2  worker
--   3  action      drain, undrain or leave
--   4  epoch       for leave; else empty, or the epoch that is meant
--   5  placement   pack or spread (unused: who is served is served here)
-- Output
--   ok               state (ready, draining, gone), berths left (taken, starting or cleaning)
--   not_empty        leave: berths left
--   stale_epoch      another process registered this id
--   unknown_worker   no such worker, or its lease was lost
--   bad_argument     which
-- Events
--   queued → starting
--   jobs: drain, undrain, stop, claim, start
--@include args
--@include worker
--@include berths
--@include serve
--@include jobs
local bad = args.wrong({ 'number', 'name', 'word', 'maybe', 'placement' })
if bad then return bad end
local now, action, epoch = args.now(ARGV[1]), ARGV[3], ARGV[4]
if action ~= 'drain' and action ~= 'undrain' and action ~= 'leave' then return fail('bad_argument', '3') end
if action == 'leave' and epoch == '' then return fail('bad_argument', '4') end
local w = worker.load(ARGV[2])
if not w or w.state == 'lost' then return fail('unknown_worker') end
if epoch ~= '' and w.epoch ~= epoch then return fail('stale_epoch') end

local function left()
  return w.taken + w.starting + w.cleaning
end

if action == 'leave' then
  if left() > 0 then return fail('not_empty', left()) end
  worker.set_state(w, 'draining')
  worker.remove(w)
  return ok('gone', 0)
end
if action == 'drain' and w.state == 'ready' then
  worker.set_state(w, 'draining')
  for _, i in ipairs(berths.clean_warm(w)) do jobs.stop(w, i.berth, i.turn, i.profile, '', 'drained') end
  jobs.drain(w)
elseif action == 'undrain' and w.state == 'draining' then
  worker.set_state(w, 'ready')
  jobs.undrain(w)
  serve.worker(w, now)
end
return ok(w.state, left())
