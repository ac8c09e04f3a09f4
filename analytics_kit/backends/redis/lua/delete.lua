-- Delete a job that has ended. ARGV[6]: prefix of the keys that name the newest job of a result; ARGV[7]: the index.
if not is_final(state) then return {0, state} end
local newest = ARGV[6] .. (call('HGET', RECORD, 'result_key') or '')
if redis.pcall('GET', newest) == JOB then call('DEL', newest) end
call('ZREM', ARGV[7], JOB)
call('SREM', CLEANUP, MEMBER)
call('DEL', RECORD, PENDING, SHARD_PROGRESS, WINNERS, LOG)
call('PUBLISH', CHANNEL, JOB)
return {1}
