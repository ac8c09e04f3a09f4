-- Release a step of a job that has ended. ARGV[6]: number of the attempt; ARGV[7]: 1 when it may have written to the
-- store after the job ended. Returns {1, 1} when no other worker has a step of the job and there may be files to remove.
if not is_final(state) then return {1, 0} end
if parse_pending(call('HGET', PENDING, STEP)) == ARGV[6] then call('HDEL', PENDING, STEP) end
if ARGV[7] == '1' then call('SADD', CLEANUP, MEMBER) end
if call('HLEN', PENDING) > 0 or call('SISMEMBER', CLEANUP, MEMBER) == 0 then return {1, 0} end
return {1, 1}
