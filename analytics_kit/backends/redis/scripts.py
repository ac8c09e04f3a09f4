"""Which changes of a job are made in Redis in one go, so that nobody ever sees half of one?

Lua, because several keys change together and what is legal depends on what is there. Every script begins with the
same prelude. KEYS: record, flight, told, winners, log, active, leaving, later. ARGV: job id, member ("namespace:id"),
channel, step, attempt (empty: whoever asks need not hold the step), then the script's own.

A step in flight is `attempt losses where` with `where` one of `queued`, `later` (it waits for its next try) and the
name of the worker that has it. Answers are {1, …} or {0, state}.
"""

from __future__ import annotations

_PRELUDE = """
local RECORD, FLIGHT, TOLD, WINNERS, LOG, ACTIVE, LEAVING, LATER = unpack(KEYS)
local JOB, MEMBER, CHANNEL, STEP, ATTEMPT = unpack(ARGV)
local call = redis.call
local clock = call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])

local function say(text)
  call('RPUSH', LOG, now .. ' ' .. text)
  call('LTRIM', LOG, -500, -1)
end
local function parsed(value)
  local attempt, losses, where = string.match(value or '', '^(%d+) (%d+) (.*)$')
  return attempt, tonumber(losses), where
end
local function put(step, attempt, losses, where)
  call('HSET', FLIGHT, step, attempt .. ' ' .. losses .. ' ' .. where)
end
local function final(state) return state == 'completed' or state == 'failed' or state == 'cancelled' end

local state = call('HGET', RECORD, 'state')
if not state then return {0, ''} end
local attempt, losses, where
if ATTEMPT ~= '' then
  attempt, losses, where = parsed(call('HGET', FLIGHT, STEP))
  if attempt ~= ATTEMPT then return {0, state} end
end
"""

_PARTS = """
local function composed(split)
  local sum = {done = 0}
  for _, told in ipairs(call('HVALS', TOLD)) do
    local done, rows, files = string.match(told, '^(%d+),?(%d*),?(%d*)$')
    for name, number in pairs({done = done, rows = rows, files = files}) do
      if number ~= '' then sum[name] = (sum[name] or 0) + tonumber(number) end
    end
  end
  local shown = cjson.decode(call('HGET', RECORD, 'progress'))
  if shown.phase == 'processing' then
    for name, number in pairs(sum) do sum[name] = math.max(number, tonumber(shown[name]) or 0) end
  end
  local done = math.min(sum.done, split.total)
  local fraction = split.share
  if split.total > 0 then fraction = split.share * done / split.total end
  local rate, left = cjson.null, cjson.null
  local passed = tonumber(now) - split.at
  if done > 0 and passed > 0 then
    rate = done / passed
    left = (split.total - done) / rate
  end
  call('HSET', RECORD, 'progress', cjson.encode({
    phase = 'processing', done = done, total = split.total, unit = split.unit,
    fraction = math.max(fraction, shown.fraction), rate_per_s = rate, eta_s = left,
    rows = sum.rows or cjson.null, files = sum.files or cjson.null}))
end
local function release(split, width)
  local released, steps = tonumber(call('HGET', RECORD, 'released')), {}
  local flying = call('HLEN', FLIGHT)
  while released < split.parts and flying < width do
    local step = 'part-' .. released
    put(step, 1, 0, 'queued')
    steps[#steps + 1] = step
    released, flying = released + 1, flying + 1
  end
  call('HSET', RECORD, 'released', released)
  return steps
end
"""

# Own: state, prefix of pointers, lifetime in s, count of legal sources, these, then fields and values.
# Answers {1, tasks that rq still has}.
MOVE = (
    _PRELUDE
    + """
local to, prefix, ttl, legal = ARGV[6], ARGV[7], ARGV[8], false
local first = 10 + tonumber(ARGV[9])
for i = 10, first - 1 do legal = legal or state == ARGV[i] end
if not legal then return {0, state} end
call('HSET', RECORD, 'state', to, unpack(ARGV, first))
say(to == 'running' and 'started' or to)
local answer = {1}
if to == 'running' then
  call('HSETNX', RECORD, 'started_at', now)
  call('HSET', RECORD, 'told_at', now)
  call('HDEL', RECORD, 'notice')
end
if final(to) then
  call('HSET', RECORD, 'ended_at', now)
  call('HDEL', RECORD, 'notice')
  call('EXPIRE', RECORD, ttl)
  call('EXPIRE', LOG, ttl)
  call('DEL', TOLD, WINNERS)
  call('SREM', ACTIVE, MEMBER)
  local pointer = prefix .. call('HGET', RECORD, 'result_key')
  if call('GET', pointer) == JOB then call('EXPIRE', pointer, ttl) end
  local flights, was_begun = call('HGETALL', FLIGHT), call('HEXISTS', RECORD, 'started_at') == 1
  for i = 1, #flights, 2 do
    local attempt, _, where = parsed(flights[i + 1])
    if where == 'queued' or where == 'later' then
      call('HDEL', FLIGHT, flights[i])
      call('ZREM', LATER, MEMBER .. ':' .. flights[i] .. ':' .. attempt)
      answer[#answer + 1] = JOB .. '-' .. flights[i] .. '-' .. attempt
    elseif to == 'completed' and flights[i] == STEP then
      call('HDEL', FLIGHT, STEP)
    end
  end
  if was_begun and (to ~= 'completed' or call('HEXISTS', RECORD, 'losses') == 1) then
    call('SADD', LEAVING, MEMBER)
  elseif call('HLEN', FLIGHT) == 0 then
    call('DEL', FLIGHT)
  end
end
call('PUBLISH', CHANNEL, JOB)
return answer
"""
)

# Own: worker. Answers {1, fields of the record, winners}.
CLAIM = (
    _PRELUDE
    + """
-- Its own a worker may take twice: the first answer was lost.
if final(state) or (where ~= 'queued' and where ~= ARGV[6]) then return {0, state} end
put(STEP, attempt, losses, ARGV[6])
say(STEP .. ' taken by ' .. ARGV[6])
return {1, call('HGETALL', RECORD), call('HGETALL', WINNERS)}
"""
)

# Own: progress, and of a part `done,rows,files` (what is not counted is left empty), else an empty string.
TELL = (
    _PRELUDE
    + _PARTS
    + """
if state ~= 'running' and state ~= 'committing' then return {0, state} end
call('HSET', RECORD, 'told_at', now)
if ARGV[7] ~= '' then
  call('HSET', TOLD, STEP, ARGV[7])
  composed(cjson.decode(call('HGET', RECORD, 'split')))
else
  local phase = cjson.decode(ARGV[6]).phase
  if phase ~= cjson.decode(call('HGET', RECORD, 'progress')).phase then say(phase) end
  call('HSET', RECORD, 'progress', ARGV[6])
end
call('PUBLISH', CHANNEL, JOB)
return {1}
"""
)

# Own: the split as JSON, how many parts may be in flight. Answers {1, steps to be queued}.
SPLIT = (
    _PRELUDE
    + _PARTS
    + """
if state ~= 'running' then return {0, state} end
local split = cjson.decode(ARGV[6])
split.at = tonumber(now)
call('HSET', RECORD, 'split', cjson.encode(split), 'released', 0, 'done', 0)
call('HDEL', FLIGHT, STEP)
say('split into ' .. split.parts .. ' parts')
composed(split)
call('PUBLISH', CHANNEL, JOB)
return {1, unpack(release(split, tonumber(ARGV[7])))}
"""
)

# Own: number of the part, how many parts may be in flight. Answers {1, steps to be queued}: whoever ends the last
# part is told of the merge, and nobody else.
FINISH = (
    _PRELUDE
    + _PARTS
    + """
if state ~= 'running' then return {0, state} end
local split = cjson.decode(call('HGET', RECORD, 'split'))
call('HDEL', FLIGHT, STEP)
call('HSET', WINNERS, ARGV[6], attempt)
say(STEP .. ' done')
if call('HINCRBY', RECORD, 'done', 1) == split.parts then
  put('merge', 1, 0, 'queued')
  return {1, 'merge'}
end
return {1, unpack(release(split, tonumber(ARGV[7])))}
"""
)

# Own: most losses (empty: this is none), delay in s, why, notice. Answers {1, next attempt}, or {2} when that was one
# loss too many.
AGAIN = (
    _PRELUDE
    + """
if final(state) then return {0, state} end
if ARGV[6] ~= '' then
  if losses >= tonumber(ARGV[6]) then return {2} end
  losses = losses + 1
end
call('HINCRBY', RECORD, 'losses', 1)
attempt = tonumber(attempt) + 1
local delay = tonumber(ARGV[7])
if delay > 0 then
  put(STEP, attempt, losses, 'later')
  call('ZADD', LATER, tonumber(now) + delay, MEMBER .. ':' .. STEP .. ':' .. attempt)
else
  put(STEP, attempt, losses, 'queued')
end
if ARGV[9] ~= '' then call('HSET', RECORD, 'notice', ARGV[9]) end
say(STEP .. ' is done again: ' .. ARGV[8])
call('PUBLISH', CHANNEL, JOB)
return {1, attempt}
"""
)

# A step whose time has come. Answers {1} when it is to be queued.
DUE = (
    _PRELUDE
    + """
call('ZREM', LATER, MEMBER .. ':' .. STEP .. ':' .. ATTEMPT)
if where ~= 'later' then return {0, state} end
put(STEP, attempt, losses, 'queued')
return {1}
"""
)

# A worker lets go of a step. Own: its attempt, and 1 when it may have written after the job had ended. Answers {1, 1
# when the job has ended, nobody is left who works for it, and there may be something to tidy up}.
LEAVE = (
    _PRELUDE
    + """
if not final(state) then return {1, 0} end
if parsed(call('HGET', FLIGHT, STEP)) == ARGV[6] then call('HDEL', FLIGHT, STEP) end
if ARGV[7] == '1' then call('SADD', LEAVING, MEMBER) end
if call('HLEN', FLIGHT) > 0 or call('SISMEMBER', LEAVING, MEMBER) == 0 then return {1, 0} end
return {1, 1}
"""
)

# Own: prefix of pointers, index.
DELETE = (
    _PRELUDE
    + """
if not final(state) then return {0, state} end
local pointer = ARGV[6] .. call('HGET', RECORD, 'result_key')
if call('GET', pointer) == JOB then call('DEL', pointer) end
call('ZREM', ARGV[7], JOB)
call('SREM', LEAVING, MEMBER)
call('DEL', RECORD, FLIGHT, TOLD, WINNERS, LOG)
call('PUBLISH', CHANNEL, JOB)
return {1}
"""
)
