-- Store progress. ARGV[6]: progress as JSON; ARGV[7]: of a shard "done,rows,files" (what is not counted is empty),
-- else an empty string.
if state ~= 'running' and state ~= 'committing' then return {0, state} end
call('HSET', RECORD, 'told_at', now)
if ARGV[7] ~= '' then
  call('HSET', SHARD_PROGRESS, STEP, ARGV[7])
  compose_progress(cjson.decode(call('HGET', RECORD, 'split')))
else
  local phase = cjson.decode(ARGV[6]).phase
  if phase ~= cjson.decode(call('HGET', RECORD, 'progress')).phase then append_log(phase) end
  call('HSET', RECORD, 'progress', ARGV[6])
  call('HDEL', RECORD, 'notice')
end
call('PUBLISH', CHANNEL, JOB)
return {1}
