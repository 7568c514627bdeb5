-- needs: tokens
-- Whose a token is. ARGV[3] the token. Found: the client id, if the token is valid.
local client_id, expires = token_of(ARGV[3])
return answer(client_id and expires > now and client_id or false)
