-- ARGV[1] of every script is the prefix of the namespace's keys.
local prefix = ARGV[1]

-- What a script answers where the marker of the schema is gone: somebody has emptied the store (SEE-10). Scripts read the
-- marker together with another key: while a cluster moves the slot, a command with one key would find it missing.
local function no_schema()
  return redis.error_reply('NOSCHEMA the store has no schema')
end
