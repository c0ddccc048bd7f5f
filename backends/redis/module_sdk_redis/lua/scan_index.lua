-- KEYS: an index. ARGV: prefix, upper bound, lower bound, how many entries.
-- Returns {the last entry, the records of all entries from the upper bound down}; a missing record is nil.
local entries = redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[4])
if #entries == 0 then
  if not redis.call('MGET', KEYS[1], prefix .. 'schema')[2] then
    return no_schema()
  end
  return entries
end
-- The marker is read with the records, so that even a single record is read by a command with two keys.
local keys = {prefix .. 'schema'}
for index, entry in ipairs(entries) do
  keys[index + 1] = prefix .. 't:' .. string.sub(entry, -36)
end
local records = redis.call('MGET', unpack(keys))
if not records[1] then
  return no_schema()
end
records[1] = entries[#entries]
return records
