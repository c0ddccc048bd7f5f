-- KEYS: an index. ARGV: prefix, upper bound, lower bound, how many.
-- {the last entry, records of all entries from the upper bound down}; nil for a record that is not there.
local entries = redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[4])
if #entries == 0 then
  return entries
end
-- The index, which is here, and has no text to give, stands among the records: a command with one key would not tell
-- that a cluster has moved that one away.
local keys = {KEYS[1]}
for place, entry in ipairs(entries) do
  keys[place + 1] = prefix .. 't:' .. string.sub(entry, -36)
end
local records = redis.call('MGET', unpack(keys))
records[1] = entries[#entries]
return records
