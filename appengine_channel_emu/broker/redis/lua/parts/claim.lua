-- needs: sockets page
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
  if s[2] ~= node and s[2] ~= NOBODY then call('PUBLISH', CHANNEL .. 'n:' .. s[2], 'g' .. id) end
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
