-- needs: sockets
-- Room for one more message. ARGV[3] the client id  [4] the message's bytes
-- [5], [6] --backlog in messages and in bytes of one socket  [7] --backlog-total
-- Law: closed are sockets with too much unread, and if all together have too much, those with the most: nobody else.
-- The slowest socket of a channel has all of its log unread, once what nobody needs is gone.
-- Found: how many sockets were closed.
local client_id, size = ARGV[3], num(ARGV[4])
local closed = 0
local function bytes_of(of)
  local c = call('HMGET', P .. 'c:' .. of, 'y', 'd')
  return num(c[1] or 0) - num(c[2] or 0)
end
local function close_slowest(of, why)
  trim(of)
  local low = call('ZRANGE', P .. 'ca:' .. of, 0, 0)
  if not low[1] or call('XLEN', P .. 'cl:' .. of) == 0 then return false end
  closed = closed + 1
  return end_socket(low[1], why, 'BacklogExceeded')
end
trim(client_id)
while call('XLEN', P .. 'cl:' .. client_id) >= num(ARGV[5]) or bytes_of(client_id) + size > num(ARGV[6]) do
  if not close_slowest(client_id, 'overflow') then break end
end
local before, total = closed, num(ARGV[7])
while num(call('GET', P .. 'unread') or 0) + size > total do
  local fullest = call('ZREVRANGE', P .. 'fullest', 0, 0)[1]
  if not fullest or not close_slowest(fullest, 'all_full') then break end
end
if closed > before then note('backlog_full', '', '', closed - before) end
return answer(closed)
