-- A new token. ARGV[3] the token  [4] its expiry  [5] who opens it  [6] the client id  [7] --max-tokens
-- [8] what the client id folds to, if that is something else
-- Law: asked twice it is one token.
local token, client_id = ARGV[3], ARGV[6]
if call('EXISTS', P .. 't:' .. token) == 1 then return answer({'made'}) end
if call('ZCARD', P .. 'tokens') >= num(ARGV[7]) then return answer({'TooManyTokens'}) end
call('SET', P .. 't:' .. token, ARGV[4] .. '|' .. ARGV[5] .. '|' .. client_id)
call('ZADD', P .. 'tokens', ARGV[4], token)
call('HINCRBY', P .. 'c:' .. client_id, 'k', 1)
call('SADD', P .. 'ids', client_id)
if ARGV[8] ~= '' then
  call('HSET', P .. 'c:' .. client_id, 'fold', ARGV[8])
  call('SADD', P .. 'odd:' .. ARGV[8], client_id)
end
return answer({'made'})
