-- Stands before every script: keys, the time, and each rule that several scripts apply.
--
-- KEYS[1]  the prefix of all keys, emu:<app>:
-- ARGV[1]  the node that asks
-- ARGV[2]  presence on (0 or 1), --disconnect-after and --resume-window in milliseconds
--
-- Each script returns {what it found, what happened, posts}: `happened` becomes events, and a post of `posts` (client
-- id, connected, fence) is to be made by the node that asks. Offsets are epoch * 2^32 and up, so that those behind a
-- lost tail are greater than any that it had. Times are milliseconds of one of three kinds: `now` is that of the
-- broker's clock; `up` is `now` less the time in which the whole service stood still; `raw` is Redis's own, less that.
local P, NODE = KEYS[1], ARGV[1]
local call, num, fmt = redis.call, tonumber, string.format
local NOBODY = '-'
local EPOCH = 4294967296
local OVERHEAD = 256
local LEASE = 40000
local ATTACHED = 5000
local SDK_ATTACHED, SDK_STRETCH = 2000, 3
local PAGE, PAGE_BYTES = 500, 262144
local happened, posts = {}, {}

local PRESENCE, GRACE, WINDOW = string.match(ARGV[2], '^(%d) (%d+) (%d+)$')
GRACE, WINDOW = num(GRACE), num(WINDOW)

local time, now, up, raw, frozen, offset
local function look()
  local t = call('TIME')
  time = t[1] * 1000 + math.floor(t[2] / 1000)
  local c = call('HMGET', P .. 'clock', 'offset', 'frozen', 'stood', 'still')
  offset, frozen = num(c[1] or 0), c[2] and num(c[2])
  now = frozen or time + offset
  up = now - num(c[3] or 0)
  raw = time - num(c[4] or 0)
end
look()

local function note(kind, client_id, socket, more)
  happened[#happened + 1] = {kind, client_id or '', socket or '', more or ''}
end

local function epoch()
  return num(call('GET', P .. 'epoch'))
end

local function id_of(at)
  return fmt('%.0f-0', at)
end

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
  call('DECRBY', P .. 'unread', size_of(dropped - num(was[2] or 0), count))
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

-- Of `rows` those from `first` on that one reply carries, and whether there may be more: a reply that is too long would
-- have Redis end the connection (client-output-buffer-limit pubsub). Entries have their text second.
local function page(rows, first)
  local found, bytes = {}, 0
  for i = first, #rows do
    bytes = bytes + #rows[i][2][2]
    if bytes > PAGE_BYTES and #found > 0 then return found, 1 end
    found[#found + 1] = rows[i]
  end
  return found, #found >= PAGE and 1 or 0
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
  call('SET', P .. 'd:' .. client_id, fmt('%.0f|%s', now, why), 'EX', 86400)
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
    call('PUBLISH', P .. 'n:' .. s[2], 'x' .. error .. ' ' .. id)
  end
  if error ~= 'SocketGone' then call('SET', P .. 'x:' .. id, error, 'PX', math.max(WINDOW, 1)) end
  note('socket_closed', client_id, id, why)
  if call('ZCARD', P .. 'ca:' .. client_id) == 0 then left(client_id, why) end
  trim(client_id)
  if quietly then
    if s[3] == '1' then call('HINCRBY', P .. 'c:' .. client_id, 'a', -1) end
  else
    if s[3] == '1' then detach(client_id, up) end
    forget_idle(client_id)
  end
  return true
end

-- From here on `node` holds its polls. Its page has all up to number `after`: `skip` entries of the log. Entries behind
-- a lost tail are none of those that the page has, whatever it says; numbers go on from what it says.
local function claim(id, s, node, after)
  local client_id, number = s[1], num(s[4])
  local current, skip = epoch(), math.max(0, after - num(s[4]))
  local behind = num(s[6]) ~= current and current * EPOCH
  local rows = call('XRANGE', P .. 'cl:' .. client_id, '(' .. id_of(num(s[3])), '+', 'COUNT', skip + PAGE)
  local at, skipped = num(s[3]), 0
  while skipped < skip do
    local row = rows[skipped + 1]
    local entry = row and num(string.match(row[1], '^%d+'))
    if not row or (behind and entry >= behind) then break end
    at, skipped = entry, skipped + 1
  end
  if skipped < skip and not behind then return nil end
  number = math.max(number, after)
  move(id, client_id, s[2], node)
  if s[2] ~= node and s[2] ~= NOBODY then call('PUBLISH', P .. 'n:' .. s[2], 'g' .. id) end
  call('HSET', P .. 's:' .. id, 'o', at, 'k', number, 'e', current, 'a', 1)
  call('ZADD', P .. 'ca:' .. client_id, at, id)
  call('ZREM', P .. 'timers', 'q:' .. id, 'g:' .. id)
  if s[7] ~= '1' then attach(client_id) end
  if skipped > 0 then trim(client_id) end
  local found, more = page(rows, skipped + 1)
  return {client_id, number, at, s[5], s[8], found, call('HGET', P .. 'c:' .. client_id, 'l'), more}
end

local function socket(id)
  return call('HMGET', P .. 's:' .. id, 'c', 'n', 'o', 'k', 't', 'e', 'a', 'since', 'w')
end

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

local function add_socket(id, client_id, token, node, wire)
  local at = call('HGET', P .. 'c:' .. client_id, 'n') or 0
  call('HSET', P .. 's:' .. id, 'c', client_id, 'n', node, 'o', at, 'k', 0, 't', token, 'e', epoch(), 'a', 1,
    'since', now, 'b', at)
  if wire == 'd' then call('HSET', P .. 's:' .. id, 'w', 'd', 'q', up, 'i', 0) end
  call('ZADD', P .. 'ca:' .. client_id, at, id)
  call('HINCRBY', P .. 'counts', wire == 'd' and 'sdk' or 'sockets', 1)
  call('SADD', P .. 'ids', client_id)
  count(client_id, node, 1)
  if node ~= NOBODY then call('SADD', P .. 'ns:' .. node, id) end
  call('DEL', P .. 'd:' .. client_id)
  note('socket_opened', client_id, id, call('ZCARD', P .. 'ca:' .. client_id))
  attach(client_id)
end

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

-- What there is of one client id, for people. Found: nothing; or valid tokens, presence sent, posting, since when, the
-- last message, sockets; and of each that is shown: id, attached, wire, since, token's expiry, opened by, unread messages
-- and bytes, last number, node.
local function snapshot(client_id, most)
  local c = call('HMGET', P .. 'c:' .. client_id, 'k', 'p', 'q', 'ps', 'l', 'n')
  local there = call('ZCARD', P .. 'ca:' .. client_id)
  if not c[1] and there == 0 then return false end
  local shown = {}
  for _, id in ipairs(call('ZRANGE', P .. 'ca:' .. client_id, 0, most - 1)) do
    local s = socket(id)
    local _, expires, opened_by = token_of(s[5])
    local unread, bytes = 0, 0
    if num(s[3]) < num(c[6] or 0) then
      for _, row in ipairs(call('XRANGE', P .. 'cl:' .. client_id, '(' .. id_of(num(s[3])), '+')) do
        unread, bytes = unread + 1, bytes + #row[2][2]
      end
    end
    shown[#shown + 1] = {id, s[7] or '0', s[9] or '', s[8], expires or 0, opened_by or '', unread, bytes,
      num(s[4]) + unread, s[2]}
  end
  return {num(c[1] or 0), c[2] == '1' and 1 or 0, c[3], c[4], c[5], there, shown}
end

local function answer(value)
  return {value, happened, posts}
end
