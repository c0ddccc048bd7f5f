-- KEYS: the first record. ARGV: prefix, then for each task: packed record, '1' if it is active, how many payload
-- arguments follow, payload names and values.
-- Returns {number of tasks inserted, id of the first task whose key another task has, or ''}.
if not redis.call('MGET', KEYS[1], prefix .. 'schema')[2] then
  return no_schema()
end
local tasks = {}
local index = 2
while index <= #ARGV do
  local record = parse(ARGV[index])
  local keys = keys_of(record)
  require_keys_local(keys.record, keys.payloads, keys.by_user, keys.by_key, keys.pages, keys.all, keys.active)
  local first = index + 3
  local last = first + tonumber(ARGV[index + 2]) - 1
  tasks[#tasks + 1] = {
    record = record, keys = keys, packed = ARGV[index], first = first, last = last,
    is_active = ARGV[index + 1] == '1' and record.key ~= ''
  }
  index = last + 1
end

local written = 0
for _, task in ipairs(tasks) do
  if redis.call('EXISTS', task.keys.record) == 0 then
    if task.is_active then
      local _, holder = holder_of(task.keys)
      if holder then
        return {written, task.record.id}
      end
    end
    insert(task.record, task.keys, task.packed, task.is_active, task.first, task.last)
    written = written + 1
  end
end
return {written, ''}
