#!lua name=hexhail_prices

-- Rides forgotten in one call: enough to keep up with any batch, few enough not to hold the server up.
local FORGOTTEN_MAX = 1000

-- Counts each event of a ride once: those whose sequence is greater than the last one counted for that ride.
-- Keys: totals, seen, seen_at. Arguments: life_ms, then ride_id, sequence, at_ms for each event.
-- Rides without an event for life_ms (by the time of the events) are forgotten. Returns how many events were new.
local function count_consumed(keys, args)
  local totals, seen, seen_at = keys[1], keys[2], keys[3]
  local life_ms, new, newest_ms = tonumber(args[1]), 0, 0
  for i = 2, #args, 3 do
    local ride_id, sequence, at_ms = args[i], tonumber(args[i + 1]), tonumber(args[i + 2])
    if sequence > tonumber(redis.call('HGET', seen, ride_id) or '0') then
      redis.call('HSET', seen, ride_id, args[i + 1])
      redis.call('ZADD', seen_at, args[i + 2], ride_id)
      new = new + 1
      newest_ms = math.max(newest_ms, at_ms)
    end
  end
  if new > 0 then
    redis.call('HINCRBY', totals, 'ride_events_consumed', new)
    local before = string.format('(%d', newest_ms - life_ms)
    for _, ride_id in ipairs(redis.call('ZRANGEBYSCORE', seen_at, '-inf', before, 'LIMIT', 0, FORGOTTEN_MAX)) do
      redis.call('HDEL', seen, ride_id)
      redis.call('ZREM', seen_at, ride_id)
    end
  end
  return new
end

redis.register_function('hexhail_prices_count_consumed', count_consumed)
