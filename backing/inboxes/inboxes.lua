#!lua name=hexhail_inboxes

-- keys: the inbox; arguments: entries_max, kept_s, then id and payload of each entry in order.
-- Replaces the inbox; entries after the last of the given ones stay: they were pushed since those were read.
local function rebuild(keys, args)
  local inbox, entries_max, kept_s = keys[1], args[1], args[2]
  local is_inbox = redis.call('TYPE', inbox).ok == 'stream'
  local newer = is_inbox and redis.call('XRANGE', inbox, '(' .. args[#args - 1], '+') or {}
  redis.call('DEL', inbox)
  for i = 3, #args, 2 do
    redis.call('XADD', inbox, 'MAXLEN', '~', entries_max, args[i], 'payload', args[i + 1])
  end
  for _, entry in ipairs(newer) do
    redis.call('XADD', inbox, 'MAXLEN', '~', entries_max, entry[1], unpack(entry[2]))
  end
  redis.call('EXPIRE', inbox, kept_s)
  return #newer
end

-- keys: what the inboxes are complete to, the claim of the rebuild; arguments: claim, entry id.
-- Returns 1 if nothing has come between; the id is refused where pushes are ahead of it already.
local function complete(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then return 0 end
  redis.pcall('XADD', keys[1], 'MAXLEN', 1, args[2], '', '')
  redis.call('DEL', keys[2])
  return 1
end

redis.register_function('hexhail_inbox_rebuild', rebuild)
redis.register_function('hexhail_inbox_complete', complete)
