-- needs: opening claim tokens
-- A socket is opened, or a former one resumed.
--
-- ARGV[3] the new socket's id  [4] the token  [5] --max-sockets  [6] whether a newer socket replaces older ones
-- [7] the former socket's id, or nothing  [8] the number its page has
-- Law: asked twice with one id it is one socket. A former one stays at the node that holds it, which is told that its
-- page was seen; one that nobody holds is claimed. A node that is not listed gets none.
-- Found: what was done, the client id, when the token times out, who opened it, whether presence is settled; of a
-- former socket what a claim finds.
if not listed() then return redis.error_reply(DEAD) end
local id, token = ARGV[3], ARGV[4]
local client_id, expires, opened_by = valid(token)
if not client_id then return answer({expires, opened_by}) end
local key = P .. 'c:' .. client_id
local function settled()
  local c = call('HMGET', key, 'p', 'q')
  return (PRESENCE ~= '1' or (c[1] == '1' and not c[2])) and 1 or 0
end
local former, after = ARGV[7], num(ARGV[8])
local s = former ~= '' and socket(former)
if s and s[1] == client_id and s[9] ~= 'd' then
  local missing = after - num(s[4])
  if s[2] ~= NOBODY and num(s[6]) == epoch() then
    local log, from = P .. 'cl:' .. client_id, '(' .. id_of(num(s[3]))
    if missing == 0 or (missing > 0 and #call('XRANGE', log, from, '+', 'COUNT', missing) == missing) then
      call('HSET', P .. 's:' .. former, 't', token)
      call('PUBLISH', CHANNEL .. 'n:' .. s[2], 'q' .. former)
      return answer({'kept', client_id, expires, opened_by, settled()})
    end
  elseif missing >= 0 or num(s[6]) ~= epoch() then
    s[5] = token
    local found = claim(former, s, NODE, after)
    if found then
      call('HSET', P .. 's:' .. former, 't', token)
      return answer({'resumed', client_id, expires, opened_by, settled(), found})
    end
  end
end
s = socket(id)
if s[1] == client_id then
  local found = claim(id, s, NODE, num(s[4]))
  return answer({'again', client_id, expires, opened_by, settled(), found})
end
local single = num(ARGV[6])
if call('ZCARD', P .. 'ca:' .. client_id) >= num(ARGV[5]) + single then return answer({'TooManySockets', client_id}) end
add_socket(id, client_id, token, NODE, '', opened_by)
if single == 1 then
  for _, older in ipairs(call('ZRANGE', P .. 'ca:' .. client_id, 0, -1)) do
    if older ~= id then end_socket(older, 'replaced', 'Replaced') end
  end
end
local at = call('HGET', key, 'n') or 0
return answer({'opened', client_id, expires, opened_by, settled(),
  {client_id, 0, at, token, now, {}, call('HGET', key, 'l'), 0}})
