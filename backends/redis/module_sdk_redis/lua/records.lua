-- A record is ten texts separated by NUL. Lua converts none of them to a number, because its numbers have only 53 bits.
local PATTERN = '^(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)$'

local function parse(packed)
  local id, module, label, status, progress, key, user, organization, created, updated = string.match(packed, PATTERN)
  if not id then
    return nil
  end
  return {
    id = id, module = module, label = label, status = status, progress = progress, key = key, user = user,
    organization = organization, created = created, updated = updated
  }
end

-- The names of schema.py that depend on a record. `pages_of` returns those that every change needs.
local function pages_of(record)
  return prefix .. 'o:' .. record.organization, prefix .. 'all'
end

local function keys_of(record)
  local organization = record.organization
  local pages, all = pages_of(record)
  local scoped = #organization .. ':' .. organization .. ':'
  return {
    record = prefix .. 't:' .. record.id,
    payloads = prefix .. 'p:' .. record.id,
    by_user = prefix .. 'u:' .. scoped .. record.user,
    by_key = prefix .. 'k:' .. organization,
    pages = pages,
    all = all,
    active = prefix .. 'a:' .. scoped .. record.key
  }
end

-- Raises an error if a cluster is moving the hash slot and any of these keys is not on this node. It must run before
-- the first write. A command with only one key would find it missing and continue.
local function require_keys_local(...)
  redis.call('EXISTS', ...)
end

-- Inserts a record whose id is new and whose key is free. ARGV has the names and values of its payloads, first to last.
local function insert(record, keys, packed, is_active, first, last)
  redis.call('SET', keys.record, packed)
  if last >= first then
    redis.call('HSET', keys.payloads, unpack(ARGV, first, last))
  end
  local moment = record.created .. record.id
  redis.call('ZADD', keys.by_user, 0, moment)
  if record.key ~= '' then
    redis.call('ZADD', keys.by_key, 0, record.key .. '\0' .. moment)
    if is_active then
      redis.call('SET', keys.active, record.id)
    end
  end
  moment = record.updated .. record.id
  redis.call('ZADD', keys.pages, 0, moment)
  redis.call('ZADD', keys.all, 0, moment)
end

-- Returns the id of the holder of the record's key, and its packed record; nothing if the key is free.
local function holder_of(keys)
  local id = redis.call('GET', keys.active)
  if id then
    -- An evicting server may have removed the record; then the key is free.
    return id, redis.call('GET', prefix .. 't:' .. id)
  end
end
