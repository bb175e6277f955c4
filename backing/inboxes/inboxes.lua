#!lua name=hexhail_inboxes

-- All keys of a call bear the tag of one bucket.

local function position_of(id)
  return tonumber(string.match(id, '^%d+'))
end

-- keys: what the bucket is complete to, then inboxes of the bucket; arguments: entries_max, kept_s, channel of news,
-- names of the inboxes with a space between, the position before the batch and the id of its last message, then for
-- each message the place of its inbox among the keys, its id, its payload.
-- Appends the messages, notes that the bucket is complete to the last of the batch, and tells the news. The bucket
-- stays as it is if it lacks what was before the batch: a message after a hole would never be followed by those in it.
-- Returns nil then; else the places of keys that are no inbox, once for each of their messages.
local function push(keys, args)
  local entries_max, kept_s, before, last_id = args[1], args[2], tonumber(args[5]), args[6]
  local held = redis.call('XREVRANGE', keys[1], '+', '-', 'COUNT', 1)
  if held[1] and position_of(held[1][1]) < before then return nil end
  local no_inbox = {}
  for i = 7, #args, 3 do
    local added = redis.pcall('XADD', keys[tonumber(args[i])], 'MAXLEN', '~', entries_max, args[i + 1], 'payload',
      args[i + 2])
    -- An id that is not greater than the last is that of a message which is there already.
    if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
      if not string.find(added.err, 'WRONGTYPE', 1, true) then return added end
      no_inbox[#no_inbox + 1] = tonumber(args[i])
    end
  end
  for i = 2, #keys do redis.call('EXPIRE', keys[i], kept_s) end
  if held[1] then redis.pcall('XADD', keys[1], 'MAXLEN', 1, last_id, '', '') end
  if #keys > 1 then redis.call('PUBLISH', args[3], args[4]) end
  return no_inbox
end

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

-- keys: what the bucket is complete to, the claim of the rebuild; arguments: claim, entry id.
-- Returns 1 if nothing has come between; the id is refused where pushes are ahead of it already.
local function complete(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then return 0 end
  redis.pcall('XADD', keys[1], 'MAXLEN', 1, args[2], '', '')
  redis.call('DEL', keys[2])
  return 1
end

redis.register_function('hexhail_inbox_push', push)
redis.register_function('hexhail_inbox_rebuild', rebuild)
redis.register_function('hexhail_inbox_complete', complete)
