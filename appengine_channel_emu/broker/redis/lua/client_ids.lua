-- Client ids with a channel or a valid token, a part of them. ARGV[3] where to go on, 0 at first
-- Law: who is there all the while is named, and may be twice. Found: where to go on, 0 at the end; how many there are;
-- and client ids.
local found = call('SSCAN', P .. 'ids', ARGV[3], 'COUNT', 500)
return answer({found[1], call('SCARD', P .. 'ids'), found[2]})
