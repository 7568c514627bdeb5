-- needs: page
-- Messages and events of this node join those of the service; what this node has not seen comes back.
--
-- ARGV[3] the name of this very call  [4], [5] the last event and the last message that the node has seen
-- [6], [7] how many are kept  [8] what stands for the number of a message in its event, without the message's place
-- below  [9] the last reset that the node has heard of  [10] how many messages follow, JSON; events behind
-- Law: asked twice they are recorded once. What happened before a reset is not recorded behind it; messages of 4 MiB
-- are kept at most; numbered in one order for all nodes, without a gap but where Redis has lost some.
local JOURNAL_BYTES = 4194304
local messages = num(ARGV[10])
local forgotten = again(ARGV[3]) or ARGV[9] ~= (call('GET', P .. 'resets') or '0')
local last = forgotten and 10 or #ARGV
if forgotten then messages = 0 end
local numbers = {}
local journal = P .. 'journal'
for i = 1, messages do
  numbers[i] = call('INCR', P .. 'journal_number')
  call('XADD', journal, 'MAXLEN', '~', ARGV[7], id_of(numbers[i]), 'j', ARGV[10 + i], 'y',
    call('INCRBY', P .. 'journal_bytes', #ARGV[10 + i]))
end
while messages > 0 and call('XLEN', journal) > 1 do
  local first = call('XRANGE', journal, '-', '+', 'COUNT', 1)[1]
  local newest = call('XREVRANGE', journal, '+', '-', 'COUNT', 1)[1]
  if num(newest[2][4]) - num(first[2][4]) <= JOURNAL_BYTES then break end
  call('XTRIM', journal, 'MAXLEN', math.floor(call('XLEN', journal) * 0.9))
end
for i = 11 + messages, last do
  local text = string.gsub(ARGV[i], '"' .. ARGV[8] .. '(%d+)"', function(place)
    return fmt('%.0f', numbers[num(place)])
  end)
  call('XADD', P .. 'events', 'MAXLEN', '~', ARGV[6], id_of(call('INCR', P .. 'event_number')), 'j', text)
end
return answer({
  (page(call('XRANGE', P .. 'events', '(' .. id_of(num(ARGV[4])), '+', 'COUNT', PAGE), 1, PAGE_BYTES / 2)),
  (page(call('XRANGE', journal, '(' .. id_of(num(ARGV[5])), '+', 'COUNT', PAGE), 1, PAGE_BYTES / 2))})
