-- needs: presence log
local function note(kind, client_id, socket, more)
  happened[#happened + 1] = {kind, client_id or '', socket or '', more or ''}
end

local function forget_idle(client_id)
  local key = P .. 'c:' .. client_id
  local c = call('HMGET', key, 'p', 'q', 'k', 'fold')
  if c[1] ~= '1' and not c[2] and num(c[3] or 0) <= 0 and call('ZCARD', P .. 'ca:' .. client_id) == 0 then
    call('DEL', key, P .. 'cl:' .. client_id, P .. 'cn:' .. client_id)
    call('SREM', P .. 'ids', client_id)
    if c[4] then call('SREM', P .. 'odd:' .. c[4], client_id) end
  end
end

-- Sockets: `n` is the node that holds its polls, NOBODY between two or while it is detached.

local function count(client_id, node, by)
  local key = P .. 'cn:' .. client_id
  if call('HINCRBY', key, node, by) <= 0 then call('HDEL', key, node) end
end

local function move(id, client_id, from, to)
  if from == to then return end
  count(client_id, from, -1)
  count(client_id, to, 1)
  if from ~= NOBODY then call('SREM', P .. 'ns:' .. from, id) end
  if to ~= NOBODY then call('SADD', P .. 'ns:' .. to, id) end
  call('HSET', P .. 's:' .. id, 'n', to)
end

local function left(client_id, why)
  call('SET', departure(client_id), fmt('%.0f|%s', now, why), 'EX', 86400)
end

-- `quietly`: the app hears nothing of it.
local function end_socket(id, why, error, quietly)
  local s = call('HMGET', P .. 's:' .. id, 'c', 'n', 'a', 'w')
  local client_id = s[1]
  if not client_id then return false end
  call('DEL', P .. 's:' .. id)
  call('ZREM', P .. 'ca:' .. client_id, id)
  call('ZREM', P .. 'timers', 'q:' .. id, 'g:' .. id)
  call('HINCRBY', P .. 'counts', s[4] == 'd' and 'sdk' or 'sockets', -1)
  count(client_id, s[2], -1)
  if s[2] ~= NOBODY then
    call('SREM', P .. 'ns:' .. s[2], id)
    call('PUBLISH', CHANNEL .. 'n:' .. s[2], 'x' .. error .. ' ' .. id)
  end
  if error ~= 'SocketGone' then call('SET', P .. 'x:' .. id, error, 'PX', math.max(WINDOW, 1)) end
  note('socket_closed', client_id, id, why)
  if not quietly and call('ZCARD', P .. 'ca:' .. client_id) == 0 then left(client_id, why) end
  trim(client_id)
  if quietly then
    if s[3] == '1' then call('HINCRBY', P .. 'c:' .. client_id, 'a', -1) end
  else
    if s[3] == '1' then detach(client_id, up) end
    forget_idle(client_id)
  end
  return true
end
