-- KEYS: records. ARGV: prefix, the scope. Returns the packed records in their order; nil for one that does not exist or
-- is in another scope.
local records = redis.call('MGET', prefix .. 'schema', unpack(KEYS))
if not records[1] then
  return no_schema()
end
table.remove(records, 1)
for index, record in ipairs(records) do
  if record and string.match(record, '^%Z*%z%Z*%z%Z*%z%Z*%z%Z*%z%Z*%z%Z*%z(%Z*)%z') ~= ARGV[2] then
    records[index] = false
  end
end
return records
