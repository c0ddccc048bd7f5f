-- KEYS: the record, its payloads. ARGV: prefix, '=' and the scope or ''.
-- Returns {packed record, payloads}, or nil if the task does not exist or is in another scope. Both must cost the same
-- (SCOPE-13).
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
    return redis.error_reply('ERR the stored task cannot be parsed')
  end
  if organization ~= string.sub(ARGV[2], 2) then
    return nil
  end
end
return {record, redis.call('HGETALL', KEYS[2])}
