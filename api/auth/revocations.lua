#!lua name=hexhail_revocations

-- keys: the revocations, their ends, their count; arguments: name, revoked_ms, until_ms, entry, now_ms.
-- Adds a revocation unless a later one of the same name is there, and removes those whose end has come. All keys expire
-- with the last of the ends.
local function revoke(keys, args)
  local revoked, ends, version = keys[1], keys[2], keys[3]
  local name, revoked_ms, until_ms, entry, now_ms = args[1], tonumber(args[2]), args[3], args[4], args[5]
  local held = redis.call('HGET', revoked, name)
  if not held or cjson.decode(held).revoked_ms < revoked_ms then
    redis.call('HSET', revoked, name, entry)
    redis.call('ZADD', ends, 'GT', until_ms, name)
  end
  local over = redis.call('ZRANGEBYSCORE', ends, '-inf', now_ms, 'LIMIT', 0, 1000)
  for _, one in ipairs(over) do
    redis.call('HDEL', revoked, one)
    redis.call('ZREM', ends, one)
  end
  redis.call('INCR', version)
  local last = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')
  if last[2] then
    for _, key in ipairs(keys) do redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(last[2]))) end
  end
  return 1
end

redis.register_function('hexhail_revoke', revoke)
