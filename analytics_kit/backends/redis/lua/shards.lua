-- Common to the scripts of split jobs: the progress of a job from that of its shards, and which shards to queue next.
--
-- The field `split` of a record has the number of shards as `parts`, and as `share` the fraction of the job's progress
-- that the shards make up; `at` is when the job was split.
local function compose_progress(split)
  local sum = {done = 0}
  for _, counts in ipairs(call('HVALS', SHARD_PROGRESS)) do
    local done, rows, files = string.match(counts, '^(%d+),?(%d*),?(%d*)$')
    for name, count in pairs({done = done, rows = rows, files = files}) do
      if count ~= '' then sum[name] = (sum[name] or 0) + tonumber(count) end
    end
  end
  local previous = cjson.decode(call('HGET', RECORD, 'progress'))
  if previous.phase == 'processing' then
    for name, count in pairs(sum) do sum[name] = math.max(count, tonumber(previous[name]) or 0) end
  end
  local done = math.min(sum.done, split.total)
  local fraction = split.share
  if split.total > 0 then fraction = split.share * done / split.total end
  local rate, remaining = cjson.null, cjson.null
  local elapsed = tonumber(now) - split.at
  if done > 0 and elapsed > 0 then
    rate = done / elapsed
    remaining = (split.total - done) / rate
  end
  call('HSET', RECORD, 'progress', cjson.encode({
    phase = 'processing', done = done, total = split.total, unit = split.unit,
    fraction = math.max(fraction, previous.fraction), rate_per_s = rate, eta_s = remaining,
    rows = sum.rows or cjson.null, files = sum.files or cjson.null}))
end
local function queue_next_shards(split, limit)
  local released, steps = tonumber(call('HGET', RECORD, 'released')), {}
  local pending = call('HLEN', PENDING)
  while released < split.parts and pending < limit do
    local step = 'part-' .. released
    set_pending(step, first_attempt(), 0, 'queued')
    steps[#steps + 1] = step .. ' ' .. first_attempt()
    released, pending = released + 1, pending + 1
  end
  call('HSET', RECORD, 'released', released)
  return steps
end
