-- What the service runs on. Found: each node and when it was heard of last, what each said of itself, the time by which it
-- was heard, and what Redis says of itself and of its memory.
return answer({call('ZRANGE', P .. 'nodes', 0, -1, 'WITHSCORES'), call('HGETALL', P .. 'about'), raw,
  call('INFO', 'server'), call('INFO', 'memory')})
