-- Split a job into shards. ARGV[6]: the split as JSON; ARGV[7]: how many steps may be pending.
-- Returns {1, steps to queue}.
if state ~= 'running' then return {0, state} end
local split = cjson.decode(ARGV[6])
split.at = tonumber(now)
call('HSET', RECORD, 'split', cjson.encode(split), 'released', 0, 'done', 0)
call('HDEL', PENDING, STEP)
append_log('split into ' .. split.parts .. ' shards')
compose_progress(split)
call('PUBLISH', CHANNEL, JOB)
return {1, unpack(queue_next_shards(split, tonumber(ARGV[7])))}
