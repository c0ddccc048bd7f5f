-- KEYS: an index. ARGV: prefix. How many entries it has.
if not redis.call('MGET', KEYS[1], prefix .. 'schema')[2] then
  return no_schema()
end
return redis.call('ZCARD', KEYS[1])
