-- Let a worker take a queued step. ARGV[6]: name of the worker. Returns {1, fields of the record, winning attempts}.
-- A worker may claim a step again that it already has: the first answer may have been lost.
if is_final(state) or (location ~= 'queued' and location ~= ARGV[6]) then return {0, state} end
set_pending(STEP, number, losses, ARGV[6])
append_log(STEP .. ' taken by ' .. ARGV[6])
return {1, call('HGETALL', RECORD), call('HGETALL', WINNERS)}
