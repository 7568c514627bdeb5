-- needs: opening tokens
-- The SDK's own wire (facts.md 4.1): one socket for each token, which no node holds; each message is gone as it is
-- read.
--
-- ARGV[3] connect, poll or disconnect  [4] the token  [5] the socket's id  [6] --max-sockets  [7] the browser that asks
-- [8] the name of this very poll
-- Law: asked twice a poll takes one message. A slow poller's interval is believed at once and forgotten slowly.
-- Found: an error's name and the client id; or 'done', the client id, whether presence is settled, and a poll's
-- message.
local SDK_ATTACHED, SDK_STRETCH = 2000, 3
local what, token, id = ARGV[3], ARGV[4], ARGV[5]
local client_id, expires, opened_by = valid(token)
if not client_id then return answer({expires, opened_by}) end
local key = P .. 's:' .. id
if what == 'disconnect' then
  end_socket(id, 'page_left', 'SocketGone')
  return answer({'done', client_id, 1})
end
if call('EXISTS', key) == 0 then
  if call('ZCARD', P .. 'ca:' .. client_id) >= num(ARGV[6]) then return answer({'TooManySockets', client_id}) end
  add_socket(id, client_id, token, NOBODY, 'd', opened_by)
  call('ZADD', P .. 'timers', up + SDK_ATTACHED, 'q:' .. id)
else
  local s = call('HMGET', key, 'q', 'i', 'a')
  local interval = math.max(math.min(up - num(s[1]), WINDOW), num(s[2]) / 2)
  call('HSET', key, 'q', up, 'i', interval, 'a', 1)
  call('ZREM', P .. 'timers', 'g:' .. id)
  call('ZADD', P .. 'timers', up + math.max(SDK_ATTACHED, SDK_STRETCH * interval), 'q:' .. id)
  if s[3] ~= '1' then attach(client_id) end
end
local c = call('HMGET', P .. 'c:' .. client_id, 'p', 'q')
local settled = (PRESENCE ~= '1' or (c[1] == '1' and not c[2])) and 1 or 0
if what == 'connect' then return answer({'done', client_id, settled}) end

local before = call('GET', P .. 'r:' .. ARGV[8])
if before then return answer({'done', client_id, settled, before}) end
local s = call('HMGET', key, 'o', 'k')
local row = call('XRANGE', P .. 'cl:' .. client_id, '(' .. id_of(num(s[1])), '+', 'COUNT', 1)[1]
if not row then return answer({'done', client_id, settled}) end
local hold = row[2][8]
if hold then
  local request, due, browser = string.match(hold, '^([^|]*)|(%d+)|(.*)$')
  due = math.min(num(due), num(call('GET', P .. 'h:' .. request) or due))
  if browser == ARGV[7] and now < due then return answer({'done', client_id, settled}) end
end
local at = num(string.match(row[1], '^%d+'))
call('HSET', key, 'o', at, 'k', num(s[2]) + 1)
call('ZADD', P .. 'ca:' .. client_id, at, id)
trim(client_id)
call('SET', P .. 'r:' .. ARGV[8], row[2][2], 'EX', 60)
return answer({'done', client_id, settled, row[2][2]})
