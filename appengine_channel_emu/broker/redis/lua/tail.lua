-- What a mirror misses. ARGV[3] the client id  [4] the last offset that it has
-- Found: the entries behind it, one page of them.
return answer(call('XRANGE', P .. 'cl:' .. ARGV[3], '(' .. id_of(num(ARGV[4])), '+', 'COUNT', PAGE))
