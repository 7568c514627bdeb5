-- needs: presence
-- A node has a new connection: which presence posts are its own. ARGV[3] the name that it had on the connection before
-- Law: what a script gives a node to post is not lost with the script's answer, and what the node posts under a former
-- name stays its own: its lease begins anew.
-- Found: client id, connected and fence of each; the node makes those that it has not heard of.
local found = {}
for _, client_id in ipairs(call('ZRANGE', P .. 'leases', 0, -1)) do
  local key = P .. 'c:' .. client_id
  local c = call('HMGET', key, 'q', 'f', 'w')
  if c[1] and (c[3] == NODE or c[3] == ARGV[3]) then
    call('HSET', key, 'w', NODE)
    call('ZADD', P .. 'leases', raw + LEASE, client_id)
    found[#found + 1] = {client_id, num(c[1]), num(c[2])}
  end
end
return answer(found)
