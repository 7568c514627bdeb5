-- needs: expiry
-- The token of a socket times out by hand. ARGV[3] the socket's id
local token = call('HGET', P .. 's:' .. ARGV[3], 't')
if not token then return answer(0) end
local written = call('ZSCORE', P .. 'tokens', token)
expire(token, num(written or 0))
return answer(1)
