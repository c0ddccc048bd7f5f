-- Times have 18 digits, too many for Lua's numbers. They are compared as text, and incremented in two halves.
local function after(time)
  local low = tonumber(string.sub(time, 10)) + 1
  if low < 1000000000 then
    return string.sub(time, 1, 9) .. string.format('%09d', low)
  end
  return string.format('%09d', tonumber(string.sub(time, 1, 9)) + 1) .. '000000000'
end

-- Returns the latest time that a write may have: two seconds (CLOCK_TOLERANCE) after the server's clock, with
-- TIME_OFFSET added as in every stored time.
local function latest_of(clock)
  return string.format('%.0f%06d', clock[1] + 100000000002, clock[2])
end

-- Returns the time if it is at most two seconds from the server's clock, else the nearest time that is. Nearly every
-- time is in the same second as the clock or in an adjacent one, and that check builds no text.
local function close_to(clock, time)
  local seconds = string.sub(time, 1, 12) - clock[1] - 100000000000
  if seconds > -2 and seconds < 2 then
    return time
  end
  local earliest, latest = string.format('%.0f%06d', clock[1] + 99999999998, clock[2]), latest_of(clock)
  if time < earliest then
    return earliest
  elseif time > latest then
    return latest
  end
  return time
end
