#!lua name=hexhail_leases

-- A lease is '<token>|<expires_ms>' under the driver and under the ride, with the same token.
-- Times are the caller's: city milliseconds. The server's own expiry only clears away what nobody released.

local function is_held(key, now_ms)
  local value = redis.call('GET', key)
  if not value then return false end
  local expires_ms = tonumber(string.match(value, '|(%d+)$'))
  -- What is no lease holds nobody: it must not fail the leases of all others.
  return expires_ms ~= nil and expires_ms > now_ms
end

-- keys: fence, then driver key and ride key of each pair; arguments: now_ms, expires_ms, clear_after_ms (wall).
-- Returns a token for each pair, 0 where the driver or the ride is held; nil at all if the fence is lost.
local function take(keys, args)
  local fence = keys[1]
  if redis.call('EXISTS', fence) == 0 then return false end
  local now_ms, expires_ms, clear_after_ms = tonumber(args[1]), args[2], args[3]
  local tokens = {}
  for i = 2, #keys, 2 do
    local token = 0
    if not is_held(keys[i], now_ms) and not is_held(keys[i + 1], now_ms) then
      token = redis.call('INCR', fence)
      local value = token .. '|' .. expires_ms
      redis.call('SET', keys[i], value, 'PX', clear_after_ms)
      redis.call('SET', keys[i + 1], value, 'PX', clear_after_ms)
    end
    tokens[#tokens + 1] = token
  end
  return tokens
end

-- keys: driver key, ride key; arguments: token. Returns how many of the two it gave free.
local function release(keys, args)
  local freed = 0
  for _, key in ipairs(keys) do
    local value = redis.call('GET', key)
    if value and string.match(value, '^(%d+)|') == args[1] then
      freed = freed + redis.call('DEL', key)
    end
  end
  return freed
end

-- keys: fence; arguments: the newest token known. Never moves the fence back.
local function restore(keys, args)
  local fence = tonumber(redis.call('GET', keys[1]) or '-1')
  if fence < tonumber(args[1]) then
    redis.call('SET', keys[1], args[1])
    return tonumber(args[1])
  end
  return fence
end

redis.register_function('hexhail_lease_take', take)
redis.register_function('hexhail_lease_release', release)
redis.register_function('hexhail_lease_restore', restore)
