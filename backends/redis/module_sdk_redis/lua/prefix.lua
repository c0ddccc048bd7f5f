-- ARGV[1] of every script is the prefix of the namespace's keys.
local prefix = ARGV[1]

-- The error of every script if the schema marker is missing because the store was emptied (SEE-10). Scripts must read
-- the marker together with another key: while a cluster moves the hash slot, a command with one key would not find it.
local function no_schema()
  return redis.error_reply('NOSCHEMA the store has no schema')
end
