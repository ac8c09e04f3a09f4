-- Common to all scripts: KEYS and ARGV by name, the pending steps, the log, and the check of the attempt.
--
-- KEYS: record, pending steps, progress of shards, winning attempts, log; then active, cleanup, delayed.
-- ARGV: job id, member ("namespace:id"), channel, step, number of the attempt (empty: the caller holds no step);
-- the arguments of each script follow from ARGV[6] on.
--
-- A pending step is stored as "number losses location"; location is 'queued', 'later' (it waits for a retry) or the
-- name of the worker that has claimed it. A script returns {1, …}, or {0, state} when the change is refused.
local RECORD, PENDING, SHARD_PROGRESS, WINNERS, LOG, ACTIVE, CLEANUP, DELAYED = unpack(KEYS)
local JOB, MEMBER, CHANNEL, STEP, ATTEMPT = unpack(ARGV)
local call = redis.call
local clock = call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])

local function append_log(text)
  redis.pcall('RPUSH', LOG, now .. ' ' .. text)  -- a log that can't be written stops no job
  redis.pcall('LTRIM', LOG, -500, -1)
end
local function parse_pending(value)
  local number, losses, location = string.match(value or '', '^(%d+) (%d+) (.*)$')
  return number, tonumber(losses), location
end
local function set_pending(step, number, losses, location)
  call('HSET', PENDING, step, number .. ' ' .. losses .. ' ' .. location)
end
local function count_of(field)  -- 0 where the field holds no count, which HINCRBY would refuse
  local count = tonumber(call('HGET', RECORD, field))
  return count and count >= 0 and count < 1e6 and math.floor(count) or 0
end
local function increment(field) call('HSET', RECORD, field, count_of(field) + 1) end
-- A job that begins anew numbers its attempts from a higher number on: none of its former attempts has one of these.
local FIRST_ATTEMPTS = 1000
local function first_attempt()
  return 1 + FIRST_ATTEMPTS * count_of('begun_anew')
end
local function is_final(state) return state == 'completed' or state == 'failed' or state == 'cancelled' end

local state = call('HGET', RECORD, 'state')
if not state then return {0, ''} end
local number, losses, location
if ATTEMPT ~= '' then
  number, losses, location = parse_pending(call('HGET', PENDING, STEP))
  if number ~= ATTEMPT then return {0, state} end
end
