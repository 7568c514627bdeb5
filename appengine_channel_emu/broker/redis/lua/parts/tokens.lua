-- Tokens: t:TOKEN is expiry|opened by|client id; an expiry of 0 is one that was timed out by hand.

local function token_of(token)
  local value = call('GET', P .. 't:' .. token)
  if not value then return nil end
  local expires, opened_by, client_id = string.match(value, '^(%d+)|([^|]*)|(.*)$')
  return client_id, num(expires), opened_by
end

local function valid(token)
  local client_id, expires, opened_by = token_of(token)
  if not client_id then return nil, 'InvalidToken', call('GET', P .. 'to:' .. string.sub(token, 1, 8)) or '' end
  if expires <= now then return nil, 'TokenTimedOut', client_id end
  return client_id, expires, opened_by
end
