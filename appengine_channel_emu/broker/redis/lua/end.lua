-- needs: sockets
-- A socket is closed. ARGV[3] its id  [4] why  [5] the error that its page gets  [6] whether that of the SDK's wire
-- counts
local wire = call('HGET', P .. 's:' .. ARGV[3], 'w')
if wire == 'd' and ARGV[6] ~= '1' then return answer(0) end
return answer(end_socket(ARGV[3], ARGV[4], ARGV[5]) and 1 or 0)
