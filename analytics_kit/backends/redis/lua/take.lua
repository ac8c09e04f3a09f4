-- Take the first message of this package from a queue that it shares with another application.
-- KEYS: the queue, its intermediate list. ARGV: prefix of the ids of housekeeping messages, then the ids to pass over.
-- Returns {id or false, how many messages before it are not ours}.
local left = {}
for i = 2, #ARGV do left[ARGV[i]] = true end
local foreign = 0
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local is_own = string.sub(id, 1, #ARGV[1]) == ARGV[1] or string.match(id, '^.+%-begin%-%d+$')
    or string.match(id, '^.+%-merge%-%d+$') or string.match(id, '^.+%-part%-%d+%-%d+$')
  if is_own and not left[id] then
    redis.call('LREM', KEYS[1], 1, id)
    redis.call('RPUSH', KEYS[2], id)
    return {id, foreign}
  end
  foreign = foreign + 1
end
return {false, foreign}
