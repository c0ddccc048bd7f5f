local function pack(record)
  return table.concat({
    record.id, record.module, record.label, record.status, record.progress, record.key, record.user,
    record.organization, record.created, record.updated
  }, '\0')
end

-- The `created_at` of the newest task of the record's key, of those up to the horizon.
local function newest_before(record, keys, horizon)
  local start = record.key .. '\0'
  -- Above every entry of that moment, since an id is below '~'.
  local upper, lower = '(' .. start .. horizon .. '~', '[' .. start
  local entry = redis.call('ZRANGE', keys.by_key, upper, lower, 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
  return entry and string.sub(entry, #start + 1, #start + 18)
end

-- Changes the times of a new record to those that are right here: within the bounds of the server's clock unless there
-- is a horizon, and created after each earlier one of its key up to there. Payloads are names and values in ARGV.
-- Whether anything has changed.
local function move(record, keys, horizon, first, last)
  local earliest, latest = '', '~'
  if horizon == '' then
    earliest, latest = bounds()
    horizon = latest
  end
  local created = between(earliest, latest, record.created)
  local newest = record.key ~= '' and newest_before(record, keys, horizon)
  if newest and newest >= created then
    created = after(newest)
  end
  local has_changed = created ~= record.created
  local function follow(time)
    local moved = between(earliest, latest, time)
    if moved < created then
      moved = created
    end
    has_changed = has_changed or moved ~= time
    return moved
  end
  record.created, record.updated = created, follow(record.updated)
  for place = first, last, 2 do
    if ARGV[place] == 'started_at' or ARGV[place] == 'finished_at' then
      ARGV[place + 1] = follow(ARGV[place + 1])
    end
  end
  return has_changed
end
