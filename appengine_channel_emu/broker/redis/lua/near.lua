-- Client ids that are easily mistaken for one that nobody has. ARGV[3] it  [4] what it folds to  [5] whether others
-- with a page are wanted  [6] how many are wanted
-- Found: those that are alike and have a token, the open ones first, each with whether it is open; others behind them.
local open, made, seen = {}, {}, {[ARGV[3]] = true}
local most = num(ARGV[6])
local function look_at(client_id, must_be_open)
  if seen[client_id] then return end
  local is_open = call('ZCARD', P .. 'ca:' .. client_id) > 0
  if must_be_open and not is_open then return end
  if not is_open and num(call('HGET', P .. 'c:' .. client_id, 'k') or 0) <= 0 then return end
  seen[client_id] = true
  local list = is_open and open or made
  list[#list + 1] = client_id
end
look_at(ARGV[4])
for _, each in ipairs(call('SRANDMEMBER', P .. 'odd:' .. ARGV[4], 50)) do look_at(each) end
local found = {}
local function take(list, is_open)
  for _, each in ipairs(list) do
    if #found < most then found[#found + 1] = {each, is_open} end
  end
end
take(open, 1)
take(made, 0)
if ARGV[5] == '1' and #found < most then
  open = {}
  for _, each in ipairs(call('SRANDMEMBER', P .. 'ids', 50)) do look_at(each, true) end
  take(open, 1)
end
return answer(found)
