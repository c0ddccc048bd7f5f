-- ARGV[1] of every script is the prefix of the namespace's keys.
local prefix = ARGV[1]
