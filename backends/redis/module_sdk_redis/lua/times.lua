-- Times are 18 digits, too many for Lua's numbers: they are compared as text, and raised in two halves.
local function after(time)
  local low = tonumber(string.sub(time, 10)) + 1
  if low < 1000000000 then
    return string.sub(time, 1, 9) .. string.format('%09d', low)
  end
  return string.format('%09d', tonumber(string.sub(time, 1, 9)) + 1) .. '000000000'
end

-- The earliest and the latest time that a write may bring: two seconds (CLOCK_TOLERANCE) around the server's clock.
local function bounds()
  local now = redis.call('TIME')
  -- The seconds of 1970 are TIME_OFFSET.
  local seconds = now[1] + 100000000000
  local rest = string.format('%06d', now[2])
  return string.format('%.0f', seconds - 2) .. rest, string.format('%.0f', seconds + 2) .. rest
end

local function between(earliest, latest, time)
  if time < earliest then
    return earliest
  elseif time > latest then
    return latest
  end
  return time
end
