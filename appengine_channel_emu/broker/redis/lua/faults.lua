-- The faults of the whole service. ARGV[3] add, remove, clear, happen or list  [4] a fault, JSON, or its number
-- [5] how many there may be  [6] the name of this very call
-- Law: asked twice a call is made once. A fault that may happen so often happens no more once it has; every node is told of each change.
-- Found: the number of an added one, whether there was one; and all faults: number, JSON, and how often it happened.
local key, what = P .. 'faults', ARGV[3]
local found = 1
local before = call('GET', P .. 'r:' .. ARGV[6])
if before then return answer({num(before), call('HGETALL', key), call('HGETALL', P .. 'fault_happened')}) end
if what == 'add' then
  if call('HLEN', key) >= num(ARGV[5]) then return answer({0}) end
  found = call('INCR', P .. 'fault_number')
  call('HSET', key, found, ARGV[4])
elseif what == 'remove' then
  found = call('HDEL', key, ARGV[4])
  call('HDEL', P .. 'fault_happened', ARGV[4])
elseif what == 'clear' then
  call('DEL', key, P .. 'fault_happened')
elseif what == 'happen' then
  local fault = call('HGET', key, ARGV[4])
  if fault then
    local times = call('HINCRBY', P .. 'fault_happened', ARGV[4], 1)
    local most = cjson.decode(fault).count
    if type(most) == 'number' and times >= most then
      call('HDEL', key, ARGV[4])
      call('HDEL', P .. 'fault_happened', ARGV[4])
    end
  end
end
if what ~= 'list' then
  call('SET', P .. 'r:' .. ARGV[6], found, 'EX', 60)
  call('PUBLISH', CHANNEL .. 'all', 'f')
end
return answer({found, call('HGETALL', key), call('HGETALL', P .. 'fault_happened')})
