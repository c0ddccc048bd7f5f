-- KEYS: the record, its payloads. {packed record, payloads}, or nil.
local record = redis.call('GET', KEYS[1])
if not record then
  return nil
end
return {record, redis.call('HGETALL', KEYS[2])}
