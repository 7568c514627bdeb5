-- Stands before every script: keys, the time, and the form of an answer.
--
-- KEYS[1]  the prefix of all keys, emu:<app>:
-- ARGV[1]  the node that asks
-- ARGV[2]  presence on (0 or 1), --disconnect-after and --resume-window in milliseconds, the number of the database
--
-- Each script returns {what it found, what happened, posts}: `happened` becomes events, and a post of `posts` (client
-- id, connected, fence) is to be made by the node that asks. Offsets are epoch * 2^32 and up, so that those behind a
-- lost tail are greater than any that it had. Times are milliseconds of one of three kinds: `now` is that of the
-- broker's clock; `up` is `now` less the time in which the whole service stood still; `raw` is Redis's own, less that.
local P, NODE = KEYS[1], ARGV[1]
local call, num, fmt = redis.call, tonumber, string.format
local NOBODY = '-'
-- What is published goes to all databases of a Redis.
local CHANNEL = P .. string.match(ARGV[2], '%d+$') .. ':'
local EPOCH = 4294967296
local OVERHEAD = 256
local happened, posts = {}, {}

local time, now, up, raw, frozen
local function look()
  local t = call('TIME')
  time = t[1] * 1000 + math.floor(t[2] / 1000)
  local c = call('HMGET', P .. 'clock', 'offset', 'frozen', 'stood', 'still')
  frozen = c[2] and num(c[2])
  now = frozen or time + num(c[1] or 0)
  up = now - num(c[3] or 0)
  raw = time - num(c[4] or 0)
end
look()

local function epoch()
  return num(call('GET', P .. 'epoch'))
end

local function id_of(at)
  return fmt('%.0f-0', at)
end

-- Whether a call of that name was made before: one that is not the same twice has a name, which a retry keeps.
local function again(name)
  return not call('SET', P .. 'r:' .. name, '1', 'NX', 'EX', 60)
end

-- Nobody adopts what a node takes that is not listed any more: it is to begin anew first.
local function listed()
  return num(call('ZSCORE', P .. 'nodes', NODE) or -1) >= 0
end

-- When the last page of a client id left, and why: since the last reset.
local function departure(client_id)
  return P .. 'd:' .. (call('GET', P .. 'resets') or '0') .. ':' .. client_id
end

local DEAD = 'DEAD this node is not one of the service any more'

local function answer(value)
  return {value, happened, posts}
end
