-- Mark a step as queued whose delay is over. Returns {1} when the caller has to queue it.
call('ZREM', DELAYED, MEMBER .. ':' .. STEP .. ':' .. ATTEMPT)
if location ~= 'later' then return {0, state} end
set_pending(STEP, number, losses, 'queued')
return {1}
