-- Mark a shard as done. ARGV[6]: number of the shard; ARGV[7]: how many steps may be pending.
-- Returns {1, steps to queue}: exactly one caller, the one that ends the last shard, gets the merge.
if state ~= 'running' then return {0, state} end
local split = cjson.decode(call('HGET', RECORD, 'split'))
call('HDEL', PENDING, STEP)
call('HSET', WINNERS, ARGV[6], number)
append_log(STEP .. ' done')
call('HDEL', RECORD, 'notice')
if call('HINCRBY', RECORD, 'done', 1) == split.parts then
  set_pending('merge', first_attempt(), 0, 'queued')
  return {1, 'merge ' .. first_attempt()}
end
return {1, unpack(queue_next_shards(split, tonumber(ARGV[7])))}
