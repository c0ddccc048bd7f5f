-- KEYS: the record, its payloads. ARGV: prefix, '=' and the scope or ''.
-- {packed record, payloads}, or nil if the task is not there or in another scope, which must cost the same (SCOPE-13).
local found = redis.call('MGET', KEYS[1], prefix .. 'schema')
if not found[2] then
  return no_schema()
end
local record = found[1]
if not record then
  return nil
end
if ARGV[2] ~= '' then
  local organization = string.match(record, '^%Z*%z%Z*%z%Z*%z%Z*%z%Z*%z%Z*%z%Z*%z(%Z*)%z%Z*%z%Z*$')
  if not organization then
    return redis.error_reply('ERR the stored task cannot be taken apart')
  end
  if organization ~= string.sub(ARGV[2], 2) then
    return nil
  end
end
return {record, redis.call('HGETALL', KEYS[2])}
