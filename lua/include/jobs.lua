--@include keys
-- jobs: what scripts tell a worker to do. The stream has no MAXLEN: a job must not be lost, and a worker that does not read
-- loses its lease, and its stream with it.
local jobs = {}

-- The warm berth's browser is this session's now.
function jobs.claim(w, i, b, s)
  redis.call('XADD', key.jobs(w.id), '*', 'kind', 'claim', 'epoch', w.epoch, 'berth', i, 'turn', b.turn, 'session', s.id,
    'profile', s.profile, 'timeout_ms', s.timeout_ms, 'idle_ms', s.idle_ms, 'keep_alive', s.keep_alive)
end

-- Start a browser for the session in this berth; an older turn that is still there is cleaned first.
function jobs.start(w, i, b, s)
  redis.call('XADD', key.jobs(w.id), '*', 'kind', 'start', 'epoch', w.epoch, 'berth', i, 'turn', b.turn, 'session', s.id,
    'profile', s.profile, 'timeout_ms', s.timeout_ms, 'idle_ms', s.idle_ms, 'keep_alive', s.keep_alive)
end

-- Clean the berth and say `freed`. `session` is empty where the berth has none.
function jobs.stop(w, i, turn, profile, session, reason)
  redis.call('XADD', key.jobs(w.id), '*', 'kind', 'stop', 'epoch', w.epoch, 'berth', i, 'turn', turn, 'session', session,
    'profile', profile, 'reason', reason)
end

function jobs.drain(w)
  redis.call('XADD', key.jobs(w.id), '*', 'kind', 'drain', 'epoch', w.epoch)
end

function jobs.undrain(w)
  redis.call('XADD', key.jobs(w.id), '*', 'kind', 'undrain', 'epoch', w.epoch)
end
