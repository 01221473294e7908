--@include keys
--@include worker
--@include session
-- run: what each call begins with. The library's locals live as long as it is loaded; nothing of an earlier call may be seen by a later one.
local run = {}

function run.begin()
  key.begin()
  worker.begin()
  session.begin()
end
