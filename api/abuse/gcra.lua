#!lua name=hexhail_rates

-- One request of a person, by GCRA as in api/abuse/rates.py, whose twin this is.
-- Keys: the theoretical arrival time, microseconds. Arguments: interval_us, burst, now_us (0: the clock of the server,
-- the same for all processes). Returns whether it is allowed, how many are left, wait_us and full_us.
local function take(keys, args)
  local interval_us, burst, now_us = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  if now_us == 0 then
    local time = redis.call('TIME')
    now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  end
  local ahead_us = math.max(0, (tonumber(redis.call('GET', keys[1])) or 0) - now_us)
  local room_us = burst * interval_us - ahead_us
  if room_us < interval_us then
    return {0, 0, interval_us - room_us, ahead_us}
  end
  local full_us = ahead_us + interval_us
  redis.call('SET', keys[1], string.format('%d', now_us + full_us), 'PX', string.format('%d', full_us / 1000 + 1))
  return {1, math.floor((room_us - interval_us) / interval_us), 0, full_us}
end

redis.register_function('hexhail_rates_take', take)
