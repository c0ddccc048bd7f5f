-- KEYS: an index. ARGV: prefix. Returns the number of its entries.
if not redis.call('MGET', KEYS[1], prefix .. 'schema')[2] then
  return no_schema()
end
return redis.call('ZCARD', KEYS[1])
