-- Change the state of a job.
-- ARGV[6…]: new state, prefix of the keys that name the newest job of a result, lifetime in s, number of legal
-- previous states, these, then fields and values. Returns {1, ids of rq jobs that are still queued}.
local to, prefix, ttl, is_legal = ARGV[6], ARGV[7], ARGV[8], false
local first = 10 + tonumber(ARGV[9])
for i = 10, first - 1 do is_legal = is_legal or state == ARGV[i] end
if not is_legal then return {0, state} end
call('HSET', RECORD, 'state', to, unpack(ARGV, first))
append_log(to == 'running' and 'started' or to)
local answer = {1}
if to == 'running' then
  call('HSETNX', RECORD, 'started_at', now)
  call('HSET', RECORD, 'told_at', now)
  call('HDEL', RECORD, 'notice')
end
if is_final(to) then
  call('HSET', RECORD, 'ended_at', now)
  call('HDEL', RECORD, 'notice')
  call('EXPIRE', RECORD, ttl)
  call('EXPIRE', LOG, ttl)
  call('DEL', SHARD_PROGRESS, WINNERS)
  call('SREM', ACTIVE, MEMBER)
  local newest = prefix .. (call('HGET', RECORD, 'result_key') or '')
  if redis.pcall('GET', newest) == JOB then call('EXPIRE', newest, ttl) end
  local pending, was_started = call('HGETALL', PENDING), call('HEXISTS', RECORD, 'started_at') == 1
  for i = 1, #pending, 2 do
    local number, _, location = parse_pending(pending[i + 1])
    if not number then  -- not a step
      call('HDEL', PENDING, pending[i])
    elseif location == 'queued' or location == 'later' then
      call('HDEL', PENDING, pending[i])
      call('ZREM', DELAYED, MEMBER .. ':' .. pending[i] .. ':' .. number)
      answer[#answer + 1] = JOB .. '-' .. pending[i] .. '-' .. number
    elseif to == 'completed' and pending[i] == STEP then
      call('HDEL', PENDING, STEP)
    end
  end
  if was_started and (to ~= 'completed' or call('HEXISTS', RECORD, 'losses') == 1) then
    call('SADD', CLEANUP, MEMBER)
  elseif call('HLEN', PENDING) == 0 then
    call('DEL', PENDING)
  end
end
call('PUBLISH', CHANNEL, JOB)
return answer
