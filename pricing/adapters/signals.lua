#!lua name=hexhail_signals

-- Entries forgotten in one call: enough to keep up with any batch, few enough not to hold the server up.
local FORGOTTEN_MAX = 1000

-- Adds one to a decayed count `<count>|<counted_to_ms>`, whichever of the two is the older.
local function add(counts, cell, at_ms, half_life_ms)
  local held = redis.call('HGET', counts, cell)
  local count, counted_ms = 0, at_ms
  if held then
    local bar = string.find(held, '|', 1, true)
    -- What is no count begins anew, so that the others are counted.
    if bar then
      count, counted_ms = tonumber(string.sub(held, 1, bar - 1)) or 0, tonumber(string.sub(held, bar + 1)) or at_ms
    end
  end
  if at_ms >= counted_ms then
    count, counted_ms = count * 0.5 ^ ((at_ms - counted_ms) / half_life_ms) + 1, at_ms
  else
    count = count + 0.5 ^ ((counted_ms - at_ms) / half_life_ms)
  end
  redis.call('HSET', counts, cell, string.format('%.17g|%d', count, counted_ms))
end

-- Whether nobody has counted the wish before; one without a name is always new.
local function is_new(seen, seen_at, wish, at_ms)
  if wish == '' then
    return true
  end
  if redis.call('HSETNX', seen, 'wish:' .. wish, '1') == 0 then
    return false
  end
  redis.call('ZADD', seen_at, at_ms, 'wish:' .. wish)
  return true
end

-- Counts each message once: those whose sequence is greater than the last one counted of the same ident.
-- Keys: totals, seen, seen_at, counts. Arguments: name of the total, life_ms, half_life_ms, then ident, sequence, at_ms,
-- cell, wish for each message; the cell is that in which it counts as demand, empty for none. A wish that has a name
-- is demand once, whatever messages it comes in.
-- Idents without a message for life_ms (by the time of the messages) are forgotten. Returns the places of the
-- new ones, -1 - place for one whose wish was counted before.
local function take(keys, args)
  local totals, seen, seen_at, counts = keys[1], keys[2], keys[3], keys[4]
  local life_ms, half_life_ms, newest_ms, new = tonumber(args[2]), tonumber(args[3]), 0, {}
  for i = 4, #args, 5 do
    local ident, sequence, at_ms, cell = args[i], tonumber(args[i + 1]), tonumber(args[i + 2]), args[i + 3]
    if sequence > (tonumber(redis.call('HGET', seen, ident) or '0') or 0) then
      redis.call('HSET', seen, ident, args[i + 1])
      redis.call('ZADD', seen_at, args[i + 2], ident)
      local place = (i - 4) / 5
      if cell ~= '' and not is_new(seen, seen_at, args[i + 4], args[i + 2]) then
        place = -1 - place
      elseif cell ~= '' then
        add(counts, cell, at_ms, half_life_ms)
      end
      new[#new + 1] = place
      newest_ms = math.max(newest_ms, at_ms)
    end
  end
  if #new > 0 then
    redis.call('HINCRBY', totals, args[1], #new)
    local before = string.format('(%d', newest_ms - life_ms)
    for _, ident in ipairs(redis.call('ZRANGEBYSCORE', seen_at, '-inf', before, 'LIMIT', 0, FORGOTTEN_MAX)) do
      redis.call('HDEL', seen, ident)
      redis.call('ZREM', seen_at, ident)
    end
  end
  return new
end

-- keys: hashes of counts. Returns what each holds, names and values by turns, all of one moment.
local function read(keys, args)
  local held = {}
  for place, key in ipairs(keys) do held[place] = redis.call('HGETALL', key) end
  return held
end

redis.register_function('hexhail_signals_take', take)
redis.register_function('hexhail_signals_read', read)
