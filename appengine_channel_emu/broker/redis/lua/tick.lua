-- needs: timers
-- A node is alive, and does what is due for all. ARGV[3] what it says of itself, JSON, or nothing if that is as it was
-- [4] whether it does what is due: not before it can tell its app
-- Law: time in which no node asked counts against no page. A node that is not listed any more is told so. Each timer is
-- taken once, 100 of them a call.
-- Found: 'dead'; or whether more is due, milliseconds until the next timer (-1: none), dead nodes, Redis's own time,
-- the clock, and the numbers of the last event and the last message.
if not listed() then return answer({'dead'}) end
local beat = call('HGET', P .. 'clock', 'beat')
local gap = beat and time - num(beat) or 0
if gap > 2000 or gap < 0 then
  -- Redis's clock was set back, or nobody asked.
  local by = gap < 0 and gap or gap - 1000
  call('HINCRBY', P .. 'clock', 'still', by)
  if not frozen then call('HINCRBY', P .. 'clock', 'stood', by) end
  look()
end
call('HSET', P .. 'clock', 'beat', time)
call('ZADD', P .. 'nodes', raw, NODE)
if ARGV[3] ~= '' then call('HSET', P .. 'about', NODE, ARGV[3]) end
local left_over = ARGV[4] == '1' and 100 or -1
while left_over > 0 and run_one() do left_over = left_over - 1 end
local over = ARGV[4] == '1' and call('ZRANGEBYSCORE', P .. 'leases', '-inf', raw, 'LIMIT', 0, 100) or {}
for _, client_id in ipairs(over) do
  call('ZREM', P .. 'leases', client_id)
  call('HDEL', P .. 'c:' .. client_id, 'q', 'f', 'w')
  presence(client_id)
  forget_idle(client_id)
end
local found = earliest()
local due = found and math.max(0, found[1] - now) or -1
local dead = call('ZRANGEBYSCORE', P .. 'nodes', '-inf', raw - 5000)
return answer({'alive', left_over == 0 and 1 or 0, due, dead, time, now, frozen and 1 or 0,
  call('GET', P .. 'event_number') or '0', call('GET', P .. 'journal_number') or '0',
  call('HGET', P .. 'clock', 'travelled') or '0'})
