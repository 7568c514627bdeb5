-- needs: expiry
-- Timers: each is taken once, by whichever node asks first.

local timer = {}
function timer.q(id, due)
  local s = call('HMGET', P .. 's:' .. id, 'c', 'a')
  if not s[1] then return end
  call('ZADD', P .. 'timers', due + WINDOW, 'g:' .. id)
  if s[2] == '1' then
    call('HSET', P .. 's:' .. id, 'a', 0)
    detach(s[1], due)
  end
end
function timer.g(id) end_socket(id, 'away', 'SocketGone') end
function timer.p(client_id) presence(client_id) end

-- The earliest of all, in time of the clock: when, which table, and which member.
local function earliest()
  local found
  for _, each in ipairs({{'tokens', 0}, {'early', 0}, {'timers', now - up}}) do
    local first = call('ZRANGE', P .. each[1], 0, 0, 'WITHSCORES')
    if first[1] and (not found or num(first[2]) + each[2] < found[1]) then
      found = {num(first[2]) + each[2], each[1], first[1], num(first[2])}
    end
  end
  return found
end

-- Runs the earliest timer if it is due at `now`; whether there was one.
local function run_one()
  local found = earliest()
  if not found or found[1] > now then return false end
  local member = found[3]
  if found[2] == 'tokens' then
    expire(member, found[4])
  elseif found[2] == 'early' then
    call('ZREM', P .. 'early', member)
    call('DEL', P .. 't:' .. member)
  else
    call('ZREM', P .. 'timers', member)
    timer[string.sub(member, 1, 1)](string.sub(member, 3), found[4])
  end
  return true
end
