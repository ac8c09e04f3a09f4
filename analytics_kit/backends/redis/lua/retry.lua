-- Replace an attempt by the next one. ARGV[6…]: most losses (empty: this is not a loss), delay in s, reason, notice.
-- Returns {1, number of the next attempt}, or {2} when the step was lost once too often.
if is_final(state) then return {0, state} end
if ARGV[6] ~= '' then
  if losses >= tonumber(ARGV[6]) then return {2} end
  losses = losses + 1
end
increment('losses')
number = tonumber(number) + 1
local delay = tonumber(ARGV[7])
if delay > 0 then
  set_pending(STEP, number, losses, 'later')
  call('ZADD', DELAYED, tonumber(now) + delay, MEMBER .. ':' .. STEP .. ':' .. number)
else
  set_pending(STEP, number, losses, 'queued')
end
if ARGV[9] ~= '' then call('HSET', RECORD, 'notice', ARGV[9]) end
append_log(STEP .. ' is retried: ' .. ARGV[8])
call('PUBLISH', CHANNEL, JOB)
return {1, number}
