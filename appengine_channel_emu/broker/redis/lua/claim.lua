-- needs: claim tokens
-- The page of a socket polls this node. ARGV[3] the socket's id  [4] the number up to which its page has all
-- Law: the socket moves here, and the node that held it is told. A node that is not listed gets none. Found: see `claim`, with the token's expiry and who
-- opened it; or the error that ended it.
if not listed() then return redis.error_reply(DEAD) end
local id = ARGV[3]
local s = socket(id)
if not s[1] then return answer({call('GET', P .. 'x:' .. id) or 'SocketGone'}) end
if s[9] == 'd' then return answer({'SocketGone'}) end
local client_id, expires, opened_by = token_of(s[5])
if not client_id then
  -- Of a Redis that lost its tail: the token was, and the socket is not to outlive it.
  end_socket(id, 'expired', 'TokenTimedOut')
  return answer({'TokenTimedOut'})
end
local found = claim(id, s, NODE, num(ARGV[4]))
if not found then return answer({'SocketGone'}) end
return answer({'claimed', client_id, expires, opened_by, 1, found})
