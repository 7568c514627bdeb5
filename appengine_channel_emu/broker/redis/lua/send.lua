-- needs: tokens
-- A message to every socket of a client id.
--
-- ARGV[3] client id, or a token of one  [4] the text  [5] the name of this very send  [6] when it is too late, of
-- `time`
-- [7] why it waits for its sender's answer: request|due|browser, or nothing
-- [8], [9] --backlog in messages and in bytes of one socket  [10] --backlog-total  [11] whether [3] may be a token
-- Law: appended and published in one step, to the nodes that hold sockets of the client id alone. Asked twice it is one
-- message. It is not sent once its sender was told that it failed.
-- Found: how many sockets, the offset, the client id. For none: 'full', where room is to be made for it; or 'nobody',
-- with valid tokens, presence sent, and when the last page left, and why.
local target, text, name = ARGV[3], ARGV[4], ARGV[5]
local client_id = target
if ARGV[11] == '1' then
  local known, expires = token_of(target)
  if known and expires > now then client_id = known end
end
local before = name ~= '' and call('GET', P .. 'r:' .. name)
if before then
  local to, at = string.match(before, '^(%d+) (%d+)$')
  return answer({num(to), at, client_id})
end
if time > num(ARGV[6]) then return redis.error_reply('LATE') end

local key, log = P .. 'c:' .. client_id, P .. 'cl:' .. client_id
local nodes = call('HGETALL', P .. 'cn:' .. client_id)
if #nodes == 0 then
  local c = call('HMGET', key, 'k', 'p')
  local left = call('GET', departure(client_id)) or ''
  return answer({0, '0', client_id, 'nobody', num(c[1] or 0), c[2] == '1' and 1 or 0, left})
end

local size = #text
local c = call('HMGET', key, 'n', 'y', 'd')
local bytes = num(c[2] or 0)
if call('XLEN', log) >= num(ARGV[8]) or bytes - num(c[3] or 0) + size > num(ARGV[9])
  or num(call('GET', P .. 'unread') or 0) + size > num(ARGV[10]) then
  return answer({0, '0', client_id, 'full'})
end

local previous = num(c[1] or 0)
local at = math.max(previous + 1, epoch() * EPOCH)
local entry = {'XADD', log, id_of(at), 't', text, 'y', fmt('%.0f', bytes), 's', fmt('%.0f', now)}
if ARGV[7] ~= '' then entry[#entry + 1] = 'h'; entry[#entry + 1] = ARGV[7] end
call(unpack(entry))
call('HSET', key, 'n', at, 'y', bytes + size, 'l', now)
call('INCRBY', P .. 'unread', size + OVERHEAD)
call('ZADD', P .. 'fullest', bytes + size - num(c[3] or 0), client_id)
local to = 0
local push = 'm' .. struct.pack('>I8I8I8I2I2', at, previous, now, #client_id, #ARGV[7]) .. client_id .. ARGV[7] .. text
for i = 1, #nodes, 2 do
  to = to + num(nodes[i + 1])
  if nodes[i] ~= NOBODY then call('PUBLISH', CHANNEL .. 'n:' .. nodes[i], push) end
end
if name ~= '' then call('SET', P .. 'r:' .. name, to .. ' ' .. fmt('%.0f', at), 'EX', 60) end
return answer({to, fmt('%.0f', at), client_id})
