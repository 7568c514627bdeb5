local PAGE, PAGE_BYTES = 500, 262144

-- Of `rows` those from `first` on that one reply carries, of `most` bytes, and whether there may be more: a reply that
-- is too long would have Redis end the connection (client-output-buffer-limit pubsub). Entries have their text second.
local function page(rows, first, most)
  local found, bytes = {}, 0
  for i = first, #rows do
    bytes = bytes + #rows[i][2][2]
    if bytes > (most or PAGE_BYTES) and #found > 0 then return found, 1 end
    found[#found + 1] = rows[i]
  end
  return found, #found >= PAGE and 1 or 0
end
