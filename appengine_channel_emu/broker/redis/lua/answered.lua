-- The answer of an app's request has left, and what it sent waits until then. ARGV[3] its id  [4] until when
call('SET', P .. 'h:' .. ARGV[3], ARGV[4], 'PX', 5000)
call('PUBLISH', CHANNEL .. 'all', 'h' .. ARGV[4] .. ' ' .. ARGV[3])
return answer(0)
