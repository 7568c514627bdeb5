-- A secret that all nodes share. ARGV[3] its name  [4] what it is if there is none yet. Found: the secret.
call('SETNX', P .. 'secret:' .. ARGV[3], ARGV[4])
return answer(call('GET', P .. 'secret:' .. ARGV[3]))
