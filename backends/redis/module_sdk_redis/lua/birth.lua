local function pack(record)
  return table.concat({
    record.id, record.module, record.label, record.status, record.progress, record.key, record.user,
    record.organization, record.created, record.updated
  }, '\0')
end

-- Returns the `created_at` of the newest task of the record's key below the bound, which is a moment or part of one.
local function newest_below(record, keys, bound)
  local start = record.key .. '\0'
  local entry = redis.call(
    'ZRANGE', keys.by_key, '(' .. start .. bound, '[' .. start, 'BYLEX', 'REV', 'LIMIT', 0, 1
  )[1]
  return entry and string.sub(entry, #start + 1, #start + 18)
end

-- Adjusts the times of a new record, so that it is created after each task of its key up to the horizon. Without a
-- horizon, all times must also be close to the server's clock, and the latest such time is the horizon. ARGV has the
-- names and values of the payloads, first to last. Returns whether any time has changed.
local function adjust_times(record, keys, horizon, first, last)
  local clock = horizon == '' and redis.call('TIME')
  local created = record.created
  if clock then
    created = close_to(clock, created)
  end
  -- '~' sorts after every moment.
  local newest = record.key ~= '' and newest_below(record, keys, '~')
  if newest and newest >= created then
    if clock then
      horizon = latest_of(clock)
    end
    if newest > horizon then
      newest = newest_below(record, keys, horizon .. '~')
    end
    if newest and newest >= created then
      created = after(newest)
    end
  end
  local has_changed = created ~= record.created
  local function adjusted(time)
    local new = clock and close_to(clock, time) or time
    if new < created then
      new = created
    end
    has_changed = has_changed or new ~= time
    return new
  end
  if record.updated == record.created then
    record.updated = created
  else
    record.updated = adjusted(record.updated)
  end
  record.created = created
  for index = first, last, 2 do
    if ARGV[index] == 'started_at' or ARGV[index] == 'finished_at' then
      ARGV[index + 1] = adjusted(ARGV[index + 1])
    end
  end
  return has_changed
end
