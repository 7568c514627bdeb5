-- How much there is. Found: client ids, sockets of our wire and of the SDK's, and what each node said of itself.
local counts = call('HMGET', P .. 'counts', 'sockets', 'sdk')
return answer({call('SCARD', P .. 'ids'), num(counts[1] or 0), num(counts[2] or 0), call('HGETALL', P .. 'about')})
