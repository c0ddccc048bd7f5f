-- KEYS: the record. ARGV: prefix, '=' and the scope or '', the allowed statuses between NULs, the time now (after '~'
-- if the server's clock bounds it), '1' if it starts, '1' if it ends, '=' and the new value or '' of status, progress
-- and label, how many payload arguments follow, payload names and values, names of payloads to clear.
-- Returns the new packed record, or nil if the task does not exist, is in another scope, or has a status that is not
-- allowed.

local function changed(argument, value)
  if argument == '' then
    return value
  end
  return string.sub(argument, 2)
end

local found = redis.call('MGET', KEYS[1], prefix .. 'schema')
if not found[2] then
  return no_schema()
end
local packed = found[1]
if not packed then
  return nil
end
local record = parse(packed)
if not record then
  return redis.error_reply('ERR the stored task cannot be parsed')
end
if ARGV[2] ~= '' and record.organization ~= string.sub(ARGV[2], 2) then
  return nil
end
if not string.find(ARGV[3], '\0' .. record.status .. '\0', 1, true) then
  return nil
end

local pages, all = pages_of(record)
local starts, ends = ARGV[5] == '1', ARGV[6] == '1'
local first, last = 11, 10 + tonumber(ARGV[10])
-- A report of progress, by far the most frequent change, needs no other key names.
local keys
if #ARGV > 10 or starts or ends then
  keys = keys_of(record)
  require_keys_local(KEYS[1], pages, all, keys.payloads, keys.active)
else
  require_keys_local(KEYS[1], pages, all)
end

local before, moment = record.updated, ARGV[4]
if string.sub(moment, 1, 1) == '~' then
  moment = close_to(redis.call('TIME'), string.sub(moment, 2))
end
if moment <= before then
  moment = after(before)
end
packed = table.concat({
  record.id, record.module, changed(ARGV[9], record.label), changed(ARGV[7], record.status),
  changed(ARGV[8], record.progress), record.key, record.user, record.organization, record.created, moment
}, '\0')
redis.call('SET', KEYS[1], packed)
if keys then
  if last >= first then
    redis.call('HSET', keys.payloads, unpack(ARGV, first, last))
  end
  if #ARGV > last then
    redis.call('HDEL', keys.payloads, unpack(ARGV, last + 1))
  end
  if starts then
    redis.call('HSETNX', keys.payloads, 'started_at', moment)
  end
  if ends then
    redis.call('HSET', keys.payloads, 'finished_at', moment)
    -- If an evicting server removed this entry, another task may have the key now.
    if record.key ~= '' and redis.call('GET', keys.active) == record.id then
      redis.call('DEL', keys.active)
    end
  end
end
local old, new = before .. record.id, moment .. record.id
redis.call('ZREM', pages, old)
redis.call('ZADD', pages, 0, new)
redis.call('ZREM', all, old)
redis.call('ZADD', all, 0, new)
return packed
