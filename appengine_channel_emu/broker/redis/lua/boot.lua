-- A node begins: the schema, the run of this Redis and its epoch, the service's secrets, and the node's own entry.
--
-- ARGV[3] the schema's version  [4] the run id of this Redis  [5] the greatest epoch that the node knows
-- [6] a key, if there is none yet  [7] whether the node had begun before and believes to be known still
-- Law: nothing is written where the schema is another one. A run that is not the last one may have lost its tail: then
-- the epoch grows. A node that was declared dead, or that comes from another epoch, is told so by a 0 instead of its
-- entry, and begins anew under another name.
local schema = call('GET', P .. 'schema')
if schema and schema ~= ARGV[3] then return {'schema', schema} end
call('SET', P .. 'schema', ARGV[3])
call('SETNX', P .. 'key', ARGV[6])
local current, known = num(call('GET', P .. 'epoch') or 0), num(ARGV[5])
local first = call('GET', P .. 'run') == false
local lost = false
if call('GET', P .. 'run') ~= ARGV[4] or current == 0 or known > current then
  lost = not first or known > 0
  current = math.max(current, known) + 1
  call('SET', P .. 'run', ARGV[4])
  call('SET', P .. 'epoch', current)
  if lost then
    call('INCRBY', P .. 'event_number', 1048576)
    call('INCRBY', P .. 'journal_number', 1048576)
  end
end
local entry = call('ZSCORE', P .. 'nodes', NODE)
local kept = ARGV[7] ~= '1' or (known == current and entry and num(entry) >= 0)
if kept then call('ZADD', P .. 'nodes', raw, NODE) end
return {'ready', call('GET', P .. 'key'), current, kept and 1 or 0, lost and 1 or 0, time, now, frozen and 1 or 0,
  call('GET', P .. 'event_number') or '0', call('GET', P .. 'journal_number') or '0',
  call('GET', P .. 'resets') or '0'}
