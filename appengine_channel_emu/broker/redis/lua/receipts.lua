-- needs: tokens
-- What became of a message. ARGV[3] the client id  [4] its offset  [5] how many sockets are shown
-- Found, of each socket that it was queued for and that there still is: id, whether its page has it, who opened it.
local found = {}
for _, id in ipairs(call('ZRANGE', P .. 'ca:' .. ARGV[3], 0, -1)) do
  local s = call('HMGET', P .. 's:' .. id, 'b', 'o', 't', 'w')
  if num(s[1]) < num(ARGV[4]) and #found < num(ARGV[5]) then
    local _, _, opened_by = token_of(s[3])
    found[#found + 1] = {id, num(s[2]) >= num(ARGV[4]) and 1 or 0, opened_by or '', s[4] or ''}
  end
end
return answer(found)
