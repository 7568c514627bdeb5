-- needs: sockets
-- Pages of this node were not heard of for as long as a socket stays attached. ARGV[3…] socket, and how long ago that
-- was
-- Law: only by the node that holds the socket. From here on nobody does, until its page is back.
for i = 3, #ARGV, 2 do
  local id, at = ARGV[i], up - num(ARGV[i + 1])
  local s = call('HMGET', P .. 's:' .. id, 'c', 'n', 'a')
  if s[2] == NODE then
    move(id, s[1], NODE, NOBODY)
    call('ZADD', P .. 'timers', at + WINDOW, 'g:' .. id)
    if s[3] == '1' then
      call('HSET', P .. 's:' .. id, 'a', 0)
      detach(s[1], at)
    end
  end
end
return answer(0)
