--@include worker
--@include berths
--@include session
--@include queue
--@include jobs
-- finish: ends a session that somebody wants ended, or takes apart a worker that is gone.
local finish = {}

-- queued → ended; starting or running → ending, with a stop job to the worker, which confirms with `freed`.
-- Nothing changes when it is ending or ended already.
function finish.session(s, reason, now, message)
  if s.state == 'queued' then
    queue.abandon(s)
    session.move(s, 'ended', now, { reason = reason, message = message })
  elseif s.state == 'starting' or s.state == 'running' then
    local w = worker.load(s.worker)
    local b = w and w.epoch == s.epoch and berths.get(w, s.berth)
    if b and b.session == s.id and b.turn == s.turn then
      berths.clean(w, s.berth, b, s.id)
      session.move(s, 'ending', now, { reason = reason, message = message })
      jobs.stop(w, s.berth, b.turn, b.profile, s.id, reason)
    else
      -- Its berth knows nothing of it (a Redis that lost data): nobody could confirm.
      session.move(s, 'ended', now, { reason = reason, message = message })
    end
  end
end
