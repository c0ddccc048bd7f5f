-- KEYS: the record. ARGV: prefix, packed record, '1' if it is active, payload names and values.
-- What stands in its way as {packed record, payloads}, or nil if it went in.
local record = take_apart(ARGV[2])
local keys = keys_of(record)
local is_active = ARGV[3] == '1' and record.key ~= ''
demand_keys(KEYS[1], keys.payloads, keys.by_user, keys.by_key, keys.pages, keys.all, keys.active)
local found = redis.call('MGET', KEYS[1], prefix .. 'schema')
if not found[2] then
  return no_schema()
end
local id, standing = record.id, found[1]
if not standing and is_active then
  id, standing = holder_of(keys)
end
if standing then
  return {standing, redis.call('HGETALL', prefix .. 'p:' .. id)}
end
insert(record, keys, ARGV[2], is_active, 4, #ARGV)
return nil
