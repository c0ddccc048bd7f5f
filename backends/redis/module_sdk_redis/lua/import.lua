-- KEYS: the first record. ARGV: prefix, then for each task: packed record, '1' if it is active, how many payload
-- arguments follow, payload names and values.
-- {how many went in, id of the first whose key is held or ''}.
if not redis.call('MGET', KEYS[1], prefix .. 'schema')[2] then
  return no_schema()
end
local tasks = {}
local place = 2
while place <= #ARGV do
  local record = take_apart(ARGV[place])
  local keys = keys_of(record)
  demand_keys(keys.record, keys.payloads, keys.by_user, keys.by_key, keys.pages, keys.all, keys.active)
  local first = place + 3
  local last = first + tonumber(ARGV[place + 2]) - 1
  tasks[#tasks + 1] = {
    record = record, keys = keys, packed = ARGV[place], first = first, last = last,
    is_active = ARGV[place + 1] == '1' and record.key ~= ''
  }
  place = last + 1
end

local written = 0
for _, task in ipairs(tasks) do
  if redis.call('EXISTS', task.keys.record) == 0 then
    if task.is_active then
      local _, standing = holder_of(task.keys)
      if standing then
        return {written, task.record.id}
      end
    end
    insert(task.record, task.keys, task.packed, task.is_active, task.first, task.last)
    written = written + 1
  end
end
return {written, ''}
