-- The clock of the service stands still, or goes on from where it stands. ARGV[3] 1 or 0
if ARGV[3] == '1' then
  call('HSET', P .. 'clock', 'frozen', now)
elseif frozen then
  call('HSET', P .. 'clock', 'offset', frozen - time)
  call('HDEL', P .. 'clock', 'frozen')
end
look()
call('PUBLISH', CHANNEL .. 'all', fmt('c0 %.0f %d', now, frozen and 1 or 0))
return answer(0)
