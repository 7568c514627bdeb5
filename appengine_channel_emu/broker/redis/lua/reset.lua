-- needs: sockets
-- As after a first start: no token, socket, message or event is left; keys, clock, nodes and faults stay.
-- Law: the app is told nothing; each node is told of each of its sockets.
for _, client_id in ipairs(call('SMEMBERS', P .. 'ids')) do
  for _, id in ipairs(call('ZRANGE', P .. 'ca:' .. client_id, 0, -1)) do end_socket(id, 'reset', 'SocketGone', true) end
  local fold = call('HGET', P .. 'c:' .. client_id, 'fold')
  if fold then call('DEL', P .. 'odd:' .. fold) end
  call('DEL', P .. 'c:' .. client_id, P .. 'cl:' .. client_id, P .. 'cn:' .. client_id, departure(client_id))
end
for _, table in ipairs({'tokens', 'early'}) do
  for _, token in ipairs(call('ZRANGE', P .. table, 0, -1)) do call('DEL', P .. 't:' .. token) end
end
call('DEL', P .. 'tokens', P .. 'early', P .. 'timers', P .. 'leases', P .. 'ids', P .. 'unread', P .. 'fullest', P .. 'counts',
  P .. 'events', P .. 'journal')
happened = {}
call('PUBLISH', CHANNEL .. 'all', 'r' .. call('INCR', P .. 'resets'))
return answer(0)
