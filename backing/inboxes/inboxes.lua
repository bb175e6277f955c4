#!lua name=hexhail_inboxes

-- On a cluster all keys of a call bear the tag of one bucket; a single server is asked for all buckets at once.

-- The positions up to which the first keys' buckets are complete; false where nobody knows.
local function positions_of(keys, buckets)
  return redis.call('MGET', unpack(keys, 1, buckets))
end

-- keys: what some buckets are complete to. Returns the least of the positions; nil if one is not known.
local function newest(keys, args)
  local least = math.huge
  for _, position in ipairs(positions_of(keys, #keys)) do
    if not position then return nil end
    least = math.min(least, tonumber(position))
  end
  return least
end

-- keys: what some buckets are complete to, then inboxes of these buckets; arguments: how many buckets, entries_max,
-- kept_s, channel of news, names of the inboxes with a space between, the position before the batch and that of
-- its last message, then for each message the place of its inbox among the keys, its id, its payload.
-- Appends the messages, notes that the buckets are complete to the last of the batch, and tells the news. All stays as
-- it is if a bucket lacks what was before the batch: a message after a hole would never be followed by those in it.
-- Returns nil then; else the places of keys that are no inbox, once for each of their messages.
local function push(keys, args)
  local buckets, entries_max, kept_s = tonumber(args[1]), args[2], args[3]
  local before, last, complete, no_inbox = tonumber(args[6]), tonumber(args[7]), {}, {}
  for i, position in ipairs(positions_of(keys, buckets)) do
    if position and tonumber(position) < before then return nil end
    if position and tonumber(position) < last then
      complete[#complete + 1] = keys[i]
      complete[#complete + 1] = args[7]
    end
  end
  for i = 8, #args, 3 do
    local added = redis.pcall('XADD', keys[tonumber(args[i])], 'MAXLEN', '~', entries_max, args[i + 1], 'payload',
      args[i + 2])
    -- An id that is not greater than the last is that of a message which is there already.
    if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
      if not string.find(added.err, 'WRONGTYPE', 1, true) then return added end
      no_inbox[#no_inbox + 1] = tonumber(args[i])
    end
  end
  for i = buckets + 1, #keys do redis.call('EXPIRE', keys[i], kept_s) end
  if #complete > 0 then redis.call('MSET', unpack(complete)) end
  if #keys > buckets then redis.call('PUBLISH', args[4], args[5]) end
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

-- keys: what the bucket is complete to, the claim of the rebuild; arguments: claim, position.
-- Returns 1 if nothing has come between; the position stays where pushes are ahead of it already.
local function complete(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then return 0 end
  if tonumber(redis.call('GET', keys[1]) or '-1') < tonumber(args[2]) then redis.call('SET', keys[1], args[2]) end
  redis.call('DEL', keys[2])
  return 1
end

redis.register_function('hexhail_inbox_newest', newest)
redis.register_function('hexhail_inbox_push', push)
redis.register_function('hexhail_inbox_rebuild', rebuild)
redis.register_function('hexhail_inbox_complete', complete)
