#!lua name=hexhail_traffic

-- The weights of a region are one hash: nobody sees half of an update. A writer holds an epoch; who claimed last wins.

-- keys: the hash. Returns a new epoch. It is at least the server's clock, so that it also grows if the hash was lost.
local function claim(keys, args)
  local before = tonumber(redis.call('HGET', keys[1], 'claimed') or '0')
  local epoch = math.max(before + 1, tonumber(redis.call('TIME')[1]))
  redis.call('HSET', keys[1], 'claimed', epoch)
  return epoch
end

local function is_outdated(key, epoch)
  return tonumber(redis.call('HGET', key, 'claimed') or '0') > tonumber(epoch)
end

-- keys: the hash; arguments: epoch, made_ms, roads, factors, last. Returns the version; 0 for an outdated epoch.
local function put(keys, args)
  if is_outdated(keys[1], args[1]) then return 0 end
  local version = redis.call('HINCRBY', keys[1], 'version', 1)
  redis.call('HSET', keys[1], 'claimed', args[1], 'epoch', args[1], 'made_ms', args[2], 'roads', args[3],
    'factors', args[4], 'last', args[5])
  return version
end

-- keys: the hash; arguments: epoch, reason, last. Returns how often it was refused for that; 0 for an outdated epoch.
local function refuse(keys, args)
  if is_outdated(keys[1], args[1]) then return 0 end
  redis.call('HSET', keys[1], 'last', args[3])
  return redis.call('HINCRBY', keys[1], 'refused:' .. args[2], 1)
end

redis.register_function('hexhail_traffic_claim', claim)
redis.register_function('hexhail_traffic_put', put)
redis.register_function('hexhail_traffic_refuse', refuse)
