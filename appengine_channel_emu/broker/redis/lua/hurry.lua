-- A backlog looks full: nodes are to tell at once what their pages have. ARGV[3] the client id
local nodes = call('HKEYS', P .. 'cn:' .. ARGV[3])
for _, node in ipairs(nodes) do
  if node ~= NOBODY then call('PUBLISH', CHANNEL .. 'n:' .. node, 'a') end
end
return answer(0)
