-- KEYS: the record. ARGV: prefix, packed record, '1' if it is active, its horizon or '' if the server's clock bounds its
-- times, payload names and values.
-- What stands in its way, or itself if its times were changed, as {packed record, payloads}; nil if it went in as it is.
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
if not move(record, keys, ARGV[4], 5, #ARGV) then
  insert(record, keys, ARGV[2], is_active, 5, #ARGV)
  return nil
end
local packed = pack(record)
insert(record, keys, packed, is_active, 5, #ARGV)
return {packed, {unpack(ARGV, 5)}}
