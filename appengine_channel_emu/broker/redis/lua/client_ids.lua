-- Every client id with a channel or a valid token.
return answer({call('SMEMBERS', P .. 'ids')})
