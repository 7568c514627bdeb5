-- needs: sockets
-- A presence post has ended. ARGV[3] the client id  [4] connected, 1 or 0  [5] its fence
-- Law: one whose fence is not the last one changes nothing: its lease was over, and another was made.
local client_id, key = ARGV[3], P .. 'c:' .. ARGV[3]
local c = call('HMGET', key, 'q', 'f')
if not c[1] or c[2] ~= ARGV[5] then return answer(0) end
call('HDEL', key, 'q', 'f', 'w', 'ps')
call('HSET', key, 'p', ARGV[4])
call('ZREM', P .. 'leases', client_id)
presence(client_id)
if not call('HGET', key, 'q') then call('PUBLISH', CHANNEL .. 'all', 'p' .. client_id) end
forget_idle(client_id)
return answer(1)
