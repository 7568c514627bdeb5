-- Messages and events of this node join those of the service; what this node has not seen comes back.
--
-- ARGV[3], [4] the last event and the last message that it has seen  [5], [6] how many are kept  [7] what stands for the
-- number of a message in its event, without the message's place below  [8] how many messages follow, JSON; events behind
-- Law: numbered in one order for all nodes, without a gap but where Redis has lost some.
local messages = num(ARGV[8])
local numbers = {}
for i = 1, messages do
  numbers[i] = call('INCR', P .. 'journal_number')
  call('XADD', P .. 'journal', 'MAXLEN', '~', ARGV[6], id_of(numbers[i]), 'j', ARGV[8 + i])
end
for i = 9 + messages, #ARGV do
  local text = string.gsub(ARGV[i], '"' .. ARGV[7] .. '(%d+)"', function(place) return fmt('%.0f', numbers[num(place)]) end)
  call('XADD', P .. 'events', 'MAXLEN', '~', ARGV[5], id_of(call('INCR', P .. 'event_number')), 'j', text)
end
return answer({
  call('XRANGE', P .. 'events', '(' .. id_of(num(ARGV[3])), '+', 'COUNT', 1000),
  call('XRANGE', P .. 'journal', '(' .. id_of(num(ARGV[4])), '+', 'COUNT', 200)})
