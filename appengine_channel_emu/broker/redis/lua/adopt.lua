-- needs: sockets
-- A node has died, or stops. ARGV[3] which  [4] whether it says so itself  [5] sockets a call
-- Law: only one that was silent for 5 s. Its sockets become quiet at this moment, and are not gone; nobody holds them
-- until their pages come to another node. The presence posts that it was making are made again.
-- Found: whether there may be more of them.
local ATTACHED = 5000
local node = ARGV[3]
local entry = call('ZSCORE', P .. 'nodes', node)
if not entry then return answer(0) end
if ARGV[4] ~= '1' and num(entry) >= 0 and num(entry) > raw - 5000 then return answer(0) end
call('ZADD', P .. 'nodes', -1, node)
local ids = call('SPOP', P .. 'ns:' .. node, num(ARGV[5]))
for _, id in ipairs(ids) do
  local s = call('HMGET', P .. 's:' .. id, 'c', 'n', 'a')
  if s[2] == node then
    move(id, s[1], node, NOBODY)
    call('ZADD', P .. 'timers', up + (s[3] == '1' and ATTACHED or WINDOW), (s[3] == '1' and 'q:' or 'g:') .. id)
  end
end
if #ids > 0 then return answer(1) end
call('ZREM', P .. 'nodes', node)
call('HDEL', P .. 'about', node)
for _, client_id in ipairs(call('ZRANGE', P .. 'leases', 0, -1)) do
  if call('HGET', P .. 'c:' .. client_id, 'w') == node then call('ZADD', P .. 'leases', raw, client_id) end
end
note('node_left', '', '', node)
return answer(0)
