-- needs: sockets
local function add_socket(id, client_id, token, node, wire, opened_by)
  local at = call('HGET', P .. 'c:' .. client_id, 'n') or 0
  call('HSET', P .. 's:' .. id, 'c', client_id, 'n', node, 'o', at, 'k', 0, 't', token, 'e', epoch(), 'a', 1,
    'since', now, 'b', at)
  if wire == 'd' then call('HSET', P .. 's:' .. id, 'w', 'd', 'q', up, 'i', 0) end
  call('ZADD', P .. 'ca:' .. client_id, at, id)
  call('HINCRBY', P .. 'counts', wire == 'd' and 'sdk' or 'sockets', 1)
  call('SADD', P .. 'ids', client_id)
  count(client_id, node, 1)
  if node ~= NOBODY then call('SADD', P .. 'ns:' .. node, id) end
  call('DEL', departure(client_id))
  note('socket_opened', client_id, id, call('ZCARD', P .. 'ca:' .. client_id) .. '|' .. opened_by)
  attach(client_id)
end
