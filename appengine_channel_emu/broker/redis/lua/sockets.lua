-- The ids of the sockets of a client id. ARGV[3] which
return answer(call('ZRANGE', P .. 'ca:' .. ARGV[3], 0, -1))
