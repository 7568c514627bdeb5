-- needs: snapshot
-- What there is of some client ids. ARGV[3] how many sockets are shown  [4] how many client ids there are  [5] how many
-- of them a search found  [6…] client ids. Found: [4], [5], sockets, and client id and `snapshot` of each
local shown = {}
for i = 6, #ARGV do shown[#shown + 1] = {ARGV[i], snapshot(ARGV[i], num(ARGV[3]))} end
local counts = call('HMGET', P .. 'counts', 'sockets', 'sdk')
return answer({num(ARGV[4]), num(ARGV[5]), num(counts[1] or 0) + num(counts[2] or 0), shown})
