-- needs: timers
-- The clock is moved on, through every timer on the way. ARGV[3] by how much, in the first call  [4] its name  [5] to
-- which moment, in those that follow
-- Law: pages live in real time: time that a test lets pass does not count against a socket that is attached, and nodes
-- hear of it before the clock shows it. Asked twice it moves once.
-- Found: whether more is due before that moment, 100 timers a call; and the moment.
local by, target = num(ARGV[3]), num(ARGV[5])
if by > 0 then
  local before = call('GET', P .. 'r:' .. ARGV[4])
  target = before and num(before) or now + by
  if not before then
    call('SET', P .. 'r:' .. ARGV[4], target, 'EX', 60)
    for _, member in ipairs(call('ZRANGE', P .. 'timers', 0, -1)) do
      if string.sub(member, 1, 2) == 'q:' then call('ZINCRBY', P .. 'timers', by, member) end
    end
    call('HINCRBYFLOAT', P .. 'clock', 'travelled', by / 1000)
    call('PUBLISH', CHANNEL .. 'all', fmt('c%.0f %.0f %d', by, now, frozen and 1 or 0))
  end
end
local function go(to)
  if to <= now then return end
  if frozen then call('HSET', P .. 'clock', 'frozen', to) else call('HSET', P .. 'clock', 'offset', to - time) end
  look()
end
local steps = 100
while steps > 0 do
  local found = earliest()
  if not found or found[1] > target then break end
  go(found[1])
  run_one()
  steps = steps - 1
end
if steps == 0 then return answer({1, target}) end
go(target)
call('PUBLISH', CHANNEL .. 'all', fmt('c0 %.0f %d', now, frozen and 1 or 0))
return answer({0, target})
