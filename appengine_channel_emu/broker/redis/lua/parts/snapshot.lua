-- needs: claim tokens
-- What there is of one client id, for people. Found: nothing; or valid tokens, presence sent, posting, since when, the
-- last message, sockets; and of each that is shown: id, attached, wire, since, token's expiry, opened by, unread
-- messages and bytes, last number, node.
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
