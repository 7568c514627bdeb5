-- needs: page
-- What a mirror misses. ARGV[3] the client id  [4] the last offset that it has
-- Found: the entries behind it, and whether there may be more.
local found, more = page(call('XRANGE', P .. 'cl:' .. ARGV[3], '(' .. id_of(num(ARGV[4])), '+', 'COUNT', PAGE), 1)
return answer({found, more})
