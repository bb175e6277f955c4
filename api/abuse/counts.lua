#!lua name=hexhail_counts

-- Forgets what is out of the window; returns how many are left.
local function prune(key, at_ms, window_ms)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%d', at_ms - window_ms))
  return redis.call('ZCARD', key)
end

-- When fewer than `at_most` will be left, city milliseconds.
local function room_ms(key, held, at_most, window_ms)
  local place = math.max(held - at_most, 0)
  local at = redis.call('ZRANGE', key, place, place, 'WITHSCORES')
  return at[2] and tonumber(at[2]) + window_ms or 0
end

-- Counts a thing once, unless `at_most` others are counted in the window (0: no limit).
-- Keys: the counts. Arguments: thing, at_ms, window_ms, at_most. Returns whether it counts, how many do, and when there
-- is room.
local function add(keys, args)
  local key, thing, at_ms, window_ms, at_most = keys[1], args[1], tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local held = prune(key, at_ms, window_ms)
  local is_held = redis.call('ZSCORE', key, thing)
  if at_most > 0 and held >= at_most and not is_held then
    return {0, held, room_ms(key, held, at_most, window_ms)}
  end
  redis.call('ZADD', key, 'NX', args[2], thing)
  redis.call('PEXPIRE', key, args[3])
  return {1, is_held and held or held + 1, 0}
end

-- Keys: the counts. Arguments: at_ms, window_ms, at_most, until_ms. Returns how many were counted first by until_ms, and
-- when fewer than at_most are.
local function read(keys, args)
  local held = prune(keys[1], tonumber(args[1]), tonumber(args[2]))
  return {redis.call('ZCOUNT', keys[1], '-inf', args[4]), room_ms(keys[1], held, tonumber(args[3]), tonumber(args[2]))}
end

redis.register_function('hexhail_counts_add', add)
redis.register_function('hexhail_counts_read', read)
