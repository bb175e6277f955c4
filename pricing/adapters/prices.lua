#!lua name=hexhail_prices

-- Multipliers of a region and the freeze are one hash. Its field `epoch` names the pricer that wrote last: one of an
-- older epoch, as a process that was paused and replaced, changes nothing any more.

local function is_outdated(key, epoch)
  return tonumber(redis.call('HGET', key, 'epoch') or '0') > tonumber(epoch)
end

-- keys: the hash; arguments: epoch, then field and value of each cell. Returns 1; 0 for an outdated epoch.
local function put(keys, args)
  if is_outdated(keys[1], args[1]) then return 0 end
  redis.call('HSET', keys[1], 'epoch', args[1])
  for place = 2, #args, 2 do
    redis.call('HSET', keys[1], args[place], args[place + 1])
  end
  return 1
end

-- keys: the hash; arguments: epoch, 1 to freeze or 0 to end the freeze. Returns 1; 0 for an outdated epoch.
local function freeze(keys, args)
  if is_outdated(keys[1], args[1]) then return 0 end
  if args[2] == '1' then
    redis.call('HSET', keys[1], 'frozen', '1')
  else
    redis.call('HDEL', keys[1], 'frozen')
  end
  return 1
end

redis.register_function('hexhail_prices_put', put)
redis.register_function('hexhail_prices_freeze', freeze)
