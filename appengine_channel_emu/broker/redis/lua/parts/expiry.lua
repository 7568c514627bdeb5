-- needs: sockets tokens
local function forget_token(token, client_id)
  call('ZREM', P .. 'tokens', token)
  call('HINCRBY', P .. 'c:' .. client_id, 'k', -1)
end

local function expire(token, written)
  local client_id, expires, opened_by = token_of(token)
  if not client_id or expires == 0 then
    call('ZREM', P .. 'tokens', token)
    return
  end
  forget_token(token, client_id)
  call('SET', P .. 'to:' .. string.sub(token, 1, 8), client_id, 'EX', 3600)
  if written > now then
    call('SET', P .. 't:' .. token, '0|' .. opened_by .. '|' .. client_id)
    call('ZADD', P .. 'early', written, token)
  else
    call('DEL', P .. 't:' .. token)
  end
  for _, id in ipairs(call('ZRANGE', P .. 'ca:' .. client_id, 0, -1)) do
    if call('HGET', P .. 's:' .. id, 't') == token then end_socket(id, 'expired', 'TokenTimedOut') end
  end
  if num(call('HGET', P .. 'c:' .. client_id, 'k') or 0) <= 0 and call('ZCARD', P .. 'ca:' .. client_id) == 0 then
    left(client_id, 'expired')
  end
  forget_idle(client_id)
end
