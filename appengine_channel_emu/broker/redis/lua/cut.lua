-- The connection of a socket's poll or stream is to break. ARGV[3] the socket. Found: whether there is one.
-- Law: nothing of the socket changes; the node that holds it is told.
local s = call('HMGET', P .. 's:' .. ARGV[3], 'c', 'n')
if not s[1] then return answer(0) end
if s[2] ~= NOBODY then call('PUBLISH', CHANNEL .. 'n:' .. s[2], 'b' .. ARGV[3]) end
return answer(1)
