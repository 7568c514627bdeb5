-- A message to every socket of a client id.
--
-- ARGV[3] client id, or a token of one  [4] the text  [5] the name of this very send  [6] when it is too late, of `time`
-- [7] why it waits for its sender's answer: request|due|browser, or nothing
-- [8], [9] --backlog in messages and in bytes of one socket  [10] --backlog-total  [11] whether [3] may be a token
-- Law: appended and published in one step, to the nodes that hold sockets of the client id alone. Asked twice it is one
-- message. It is not sent once its sender was told that it failed. Whoever has too much unread is closed by it.
-- Found: how many sockets, the offset, the client id; for none: why, from which the reasons are told.
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

local key, log, acknowledged = P .. 'c:' .. client_id, P .. 'cl:' .. client_id, P .. 'ca:' .. client_id
local nodes = call('HGETALL', P .. 'cn:' .. client_id)
local function nobody(why)
  local c = call('HMGET', key, 'k', 'p')
  return answer({0, '0', client_id, why, num(c[1] or 0), c[2] == '1' and 1 or 0, call('GET', P .. 'd:' .. client_id) or ''})
end
if #nodes == 0 then return nobody('nobody') end

local size = #text
local c = call('HMGET', key, 'n', 'y', 'd')
local bytes = num(c[2] or 0)

local function too_much()
  local d = num(call('HGET', key, 'd') or 0)
  return call('XLEN', log) >= num(ARGV[8]) or bytes - d + size > num(ARGV[9])
end
-- The slowest socket has all of the log unread, once what nobody needs is gone.
local function close_slowest(of, why)
  trim(of)
  local low = call('ZRANGE', P .. 'ca:' .. of, 0, 0)
  return low[1] and call('XLEN', P .. 'cl:' .. of) > 0 and end_socket(low[1], why, 'BacklogExceeded')
end
if too_much() then
  trim(client_id)
  while too_much() and close_slowest(client_id, 'overflow') do end
end
local total = num(ARGV[10])
if num(call('GET', P .. 'unread') or 0) + size > total then
  local closed = 0
  while num(call('GET', P .. 'unread') or 0) + size > total do
    local fullest, most
    for _, each in ipairs(call('SMEMBERS', P .. 'ids')) do
      local of = call('HMGET', P .. 'c:' .. each, 'y', 'd')
      local unread = num(of[1] or 0) - num(of[2] or 0)
      if unread > (most or 0) then fullest, most = each, unread end
    end
    if not fullest or not close_slowest(fullest, 'all_full') then break end
    closed = closed + 1
  end
  note('backlog_full', '', '', closed)
end
nodes = call('HGETALL', P .. 'cn:' .. client_id)
if #nodes == 0 then return nobody('overflow') end

local previous = num(c[1] or 0)
local at = math.max(previous + 1, epoch() * EPOCH)
local entry = {'XADD', log, id_of(at), 't', text, 'y', fmt('%.0f', bytes), 's', fmt('%.0f', now)}
if ARGV[7] ~= '' then entry[#entry + 1] = 'h'; entry[#entry + 1] = ARGV[7] end
call(unpack(entry))
call('HSET', key, 'n', at, 'y', bytes + size, 'l', now)
call('INCRBY', P .. 'unread', size_of(size, 1))
local to = 0
local push = 'm' .. struct.pack('>I8I8I8I2I2', at, previous, now, #client_id, #ARGV[7]) .. client_id .. ARGV[7] .. text
for i = 1, #nodes, 2 do
  to = to + num(nodes[i + 1])
  if nodes[i] ~= NOBODY then call('PUBLISH', P .. 'n:' .. nodes[i], push) end
end
if name ~= '' then call('SET', P .. 'r:' .. name, to .. ' ' .. fmt('%.0f', at), 'EX', 60) end
return answer({to, fmt('%.0f', at), client_id})
