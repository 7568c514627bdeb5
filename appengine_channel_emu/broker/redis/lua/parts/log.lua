-- The log of a channel: what its slowest socket has is not needed any more.

local function size_of(unread, count)
  return unread + OVERHEAD * count
end

local function trim(client_id)
  local low = call('ZRANGE', P .. 'ca:' .. client_id, 0, 0, 'WITHSCORES')
  local log, c = P .. 'cl:' .. client_id, P .. 'c:' .. client_id
  local count
  if low[2] then
    count = call('XTRIM', log, 'MINID', id_of(num(low[2]) + 1))
  else
    count = call('XLEN', log)
    call('DEL', log)
  end
  if count == 0 then return end
  local was = call('HMGET', c, 'y', 'd')
  local first = low[2] and call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  local dropped = first and num(first[2][4]) or num(was[1])
  call('HSET', c, 'd', dropped)
  local unread = num(was[1]) - dropped
  if unread > 0 then call('ZADD', P .. 'fullest', unread, client_id) else call('ZREM', P .. 'fullest', client_id) end
  call('DECRBY', P .. 'unread', size_of(dropped - num(was[2] or 0), count))
end
