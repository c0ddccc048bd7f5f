local function pack(record)
  return table.concat({
    record.id, record.module, record.label, record.status, record.progress, record.key, record.user,
    record.organization, record.created, record.updated
  }, '\0')
end

-- The `created_at` of the newest task of the record's key that is below the bound: an entry's moment, or part of one.
local function newest_below(record, keys, bound)
  local start = record.key .. '\0'
  local entry = redis.call(
    'ZRANGE', keys.by_key, '(' .. start .. bound, '[' .. start, 'BYLEX', 'REV', 'LIMIT', 0, 1
  )[1]
  return entry and string.sub(entry, #start + 1, #start + 18)
end

-- Changes the times of a new record to those that are right here: close to the server's clock unless there is a
-- horizon, and created after each earlier one of its key up to there. Payloads are names and values in ARGV.
-- Whether anything has changed.
local function move(record, keys, horizon, first, last)
  local clock = horizon == '' and redis.call('TIME')
  local created = record.created
  if clock then
    created = close_to(clock, created)
  end
  -- '~' is above every moment.
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
  local function follow(time)
    local moved = clock and close_to(clock, time) or time
    if moved < created then
      moved = created
    end
    has_changed = has_changed or moved ~= time
    return moved
  end
  if record.updated == record.created then
    record.updated = created
  else
    record.updated = follow(record.updated)
  end
  record.created = created
  for place = first, last, 2 do
    if ARGV[place] == 'started_at' or ARGV[place] == 'finished_at' then
      ARGV[place + 1] = follow(ARGV[place + 1])
    end
  end
  return has_changed
end
