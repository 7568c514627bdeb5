-- A node was without its connection for a while. ARGV[3…] socket, client id, the last offset that its mirror has
-- Found, of each: 'here'; 'gap' if there is more in the log; 'moved' to another node; or the error that ended it.
local found = {}
for i = 3, #ARGV, 3 do
  local node = call('HGET', P .. 's:' .. ARGV[i], 'n')
  if not node then
    found[#found + 1] = call('GET', P .. 'x:' .. ARGV[i]) or 'SocketGone'
  elseif node ~= NODE then
    found[#found + 1] = 'moved'
  else
    local top = num(call('HGET', P .. 'c:' .. ARGV[i + 1], 'n') or 0)
    found[#found + 1] = top > num(ARGV[i + 2]) and 'gap' or 'here'
  end
end
return answer(found)
