-- needs: log
-- Pages of this node have what they have. ARGV[3…] client id, socket, offset, number, of each
-- Law: only forward, and only by the node that holds the socket; what all sockets of a channel have is trimmed.
local seen = {}
for i = 3, #ARGV, 4 do
  local s = call('HMGET', P .. 's:' .. ARGV[i + 1], 'n', 'o')
  if s[1] == NODE and num(s[2]) < num(ARGV[i + 2]) then
    call('HSET', P .. 's:' .. ARGV[i + 1], 'o', ARGV[i + 2], 'k', ARGV[i + 3])
    call('ZADD', P .. 'ca:' .. ARGV[i], ARGV[i + 2], ARGV[i + 1])
    seen[ARGV[i]] = true
  end
end
for client_id in pairs(seen) do trim(client_id) end
return answer(0)
