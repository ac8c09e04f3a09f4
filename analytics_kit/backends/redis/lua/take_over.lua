-- Have a job done by other code than its client's. ARGV[6…]: that code as JSON, prefix of the keys that name the newest
-- job of a result, key of the result that this code gives (empty: it stays), version of the record, line of the log,
-- signature of the job (empty: none).
-- Returns {1, 0} when the attempt goes on, which is at the first step; else {1, number of the first step to queue, ids
-- of rq jobs that are still queued}: what other code has done is dropped, and the job begins anew.
if is_final(state) then return {0, state} end
local code, prefix, key = ARGV[6], ARGV[7], ARGV[8]
if key ~= '' then
  local newest = prefix .. (call('HGET', RECORD, 'result_key') or '')
  if redis.pcall('GET', newest) == JOB then call('DEL', newest) end
  call('SETNX', prefix .. key, JOB)
  call('HSET', RECORD, 'result_key', key)
end
call('HSET', RECORD, 'processed_by', code, 'version', ARGV[9])
if ARGV[11] ~= '' then call('HSET', RECORD, 'signature', ARGV[11]) end
if state == 'committing' then call('HSET', RECORD, 'state', 'running') end
append_log(ARGV[10])
call('PUBLISH', CHANNEL, JOB)
if STEP == 'begin' then return {1, 0} end
local first = first_attempt() + FIRST_ATTEMPTS
local answer, pending = {1, first}, call('HGETALL', PENDING)
for i = 1, #pending, 2 do
  local number = parse_pending(pending[i + 1]) or '0'
  call('ZREM', DELAYED, MEMBER .. ':' .. pending[i] .. ':' .. number)
  answer[#answer + 1] = JOB .. '-' .. pending[i] .. '-' .. number
end
call('DEL', PENDING, SHARD_PROGRESS, WINNERS)
call('HDEL', RECORD, 'split', 'released', 'done')
increment('losses')
increment('begun_anew')
set_pending('begin', first, 0, 'queued')
return answer
