-- needs: snapshot
-- What there is of one client id. ARGV[3] which  [4] how many sockets are shown. Found: see `snapshot`
return answer(snapshot(ARGV[3], num(ARGV[4])))
