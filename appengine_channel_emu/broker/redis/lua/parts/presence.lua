local PRESENCE, GRACE, WINDOW = string.match(ARGV[2], '^(%d) (%d+) (%d+) ')
GRACE, WINDOW = num(GRACE), num(WINDOW)
local LEASE = 40000

-- Presence: at most one post of a client id is on its way, and its lease and fence say whose it is.

local function start_post(client_id, connected)
  local fence = call('INCR', P .. 'fence')
  call('HSET', P .. 'c:' .. client_id, 'q', connected, 'f', fence, 'w', NODE, 'ps', now)
  call('ZADD', P .. 'leases', raw + LEASE, client_id)
  posts[#posts + 1] = {client_id, connected, fence}
end

local function presence(client_id)
  if PRESENCE ~= '1' then return end
  local c = call('HMGET', P .. 'c:' .. client_id, 'a', 'p', 'q', 'e')
  if c[3] then return end
  local timer = 'p:' .. client_id
  if num(c[1] or 0) > 0 then
    if c[2] == '1' then call('ZREM', P .. 'timers', timer) else start_post(client_id, 1) end
  elseif c[2] == '1' and not call('ZSCORE', P .. 'timers', timer) then
    local due = num(c[4] or up) + GRACE
    if due <= up then start_post(client_id, 0) else call('ZADD', P .. 'timers', due, timer) end
  end
end

local function attach(client_id)
  call('HINCRBY', P .. 'c:' .. client_id, 'a', 1)
  presence(client_id)
end

local function detach(client_id, at)
  if call('HINCRBY', P .. 'c:' .. client_id, 'a', -1) == 0 then
    call('HSET', P .. 'c:' .. client_id, 'e', at)
  end
  presence(client_id)
end
