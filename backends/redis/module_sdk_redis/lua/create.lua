-- KEYS: the record. ARGV: prefix, packed record, '1' if it is active, its horizon or '' if the server's clock bounds
-- its times, payload names and values.
-- Returns {packed record, payloads} of the existing task with its id or key, or of the new task if its times were
-- adjusted; nil if the new task was inserted unchanged.
local record = parse(ARGV[2])
local keys = keys_of(record)
local is_active = ARGV[3] == '1' and record.key ~= ''
require_keys_local(KEYS[1], keys.payloads, keys.by_user, keys.by_key, keys.pages, keys.all, keys.active)
local found = redis.call('MGET', KEYS[1], prefix .. 'schema')
if not found[2] then
  return no_schema()
end
local id, existing = record.id, found[1]
if not existing and is_active then
  id, existing = holder_of(keys)
end
if existing then
  return {existing, redis.call('HGETALL', prefix .. 'p:' .. id)}
end
if not adjust_times(record, keys, ARGV[4], 5, #ARGV) then
  insert(record, keys, ARGV[2], is_active, 5, #ARGV)
  return nil
end
local packed = pack(record)
insert(record, keys, packed, is_active, 5, #ARGV)
return {packed, {unpack(ARGV, 5)}}
