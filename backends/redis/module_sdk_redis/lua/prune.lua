-- KEYS: an index. ARGV: prefix, lower bound, upper bound, how many entries to examine, how many records to remove,
-- the final statuses between NULs, time, '=' and the organization or '', '=' and the user or ''.
-- Returns {number of records removed, number of entries examined, the last of these entries or ''}.
if not redis.call('MGET', KEYS[1], prefix .. 'schema')[2] then
  return no_schema()
end
local entries = redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3], 'BYLEX', 'LIMIT', 0, ARGV[4])
if #entries == 0 then
  return {0, 0, ''}
end
local names = {KEYS[1]}
for index, entry in ipairs(entries) do
  names[index + 1] = prefix .. 't:' .. string.sub(entry, -36)
end
local records = redis.call('MGET', unpack(names))

local function is_old(record)
  return string.find(ARGV[6], '\0' .. record.status .. '\0', 1, true)
    and record.updated < ARGV[7]
    and (ARGV[8] == '' or record.organization == string.sub(ARGV[8], 2))
    and (ARGV[9] == '' or record.user == string.sub(ARGV[9], 2))
end

local removed, maximum = 0, tonumber(ARGV[5])
local index = 0
while index < #entries and removed < maximum do
  index = index + 1
  local record = records[index + 1] and parse(records[index + 1])
  if record and is_old(record) then
    local keys = keys_of(record)
    require_keys_local(KEYS[1], keys.record, keys.payloads, keys.by_user, keys.by_key, keys.pages, keys.all)
    redis.call('UNLINK', keys.record, keys.payloads)
    redis.call('ZREM', keys.by_user, record.created .. record.id)
    if record.key ~= '' then
      redis.call('ZREM', keys.by_key, record.key .. '\0' .. record.created .. record.id)
    end
    redis.call('ZREM', keys.pages, record.updated .. record.id)
    redis.call('ZREM', keys.all, record.updated .. record.id)
    removed = removed + 1
  end
end
return {removed, index, entries[index]}
