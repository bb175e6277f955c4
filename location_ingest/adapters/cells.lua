#!lua name=hexhail_cells

-- Who is in which cell, guarded by time: a newer position wins, whoever writes it and in whatever order.
--
--   index    hash        driver -> <cell>|<t_ms>
--   seen     sorted set  driver by t_ms
--   totals   hash        counters
--   cell     hash        driver -> packed position; key = prefix .. cell
--
-- A call takes at most 1,000 drivers: unpack() ends at about 8,000 values. Every key bears the same {region} tag.

local function add_to(group, key, ...)
  local list = group[key]
  if not list then
    list = {}
    group[key] = list
  end
  for _, value in ipairs({...}) do
    list[#list + 1] = value
  end
end

local function cell_and_time(entry)
  if not entry then
    return nil, nil
  end
  local cell, t_ms = string.match(entry, '^(.-)|(%d+)$')
  return cell, tonumber(t_ms)
end

-- Returns the drivers of the call without repetition, their cells and their times by driver.
local function stored_of(index, argv, first)
  local drivers, cell_of, t_ms_of, known = {}, {}, {}, {}
  for i = first, #argv, 4 do
    if not known[argv[i]] then
      known[argv[i]] = true
      drivers[#drivers + 1] = argv[i]
    end
  end
  if #drivers > 0 then
    for number, entry in ipairs(redis.call('HMGET', index, unpack(drivers))) do
      local driver = drivers[number]
      cell_of[driver], t_ms_of[driver] = cell_and_time(entry)
    end
  end
  return drivers, cell_of, t_ms_of
end

-- KEYS index seen totals; ARGV prefix, n, n times (reason, count), then (driver, t_ms, cell, packed) for each position.
-- Returns how many positions were newer than what was stored, those in between included.
local function put(keys, argv)
  local index, seen, totals = keys[1], keys[2], keys[3]
  local prefix, reasons = argv[1], tonumber(argv[2])
  local first = 3 + 2 * reasons
  local drivers, cell_of, t_ms_of = stored_of(index, argv, first)

  local accepted, newest = 0, {}
  for i = first, #argv, 4 do
    local driver, t_ms = argv[i], tonumber(argv[i + 1])
    if not t_ms_of[driver] or t_ms > t_ms_of[driver] then
      t_ms_of[driver] = t_ms
      newest[driver] = i
      accepted = accepted + 1
    end
  end

  local left, entered, index_entries, seen_entries = {}, {}, {}, {}
  for _, driver in ipairs(drivers) do
    local i = newest[driver]
    if i then
      local t_ms, cell, packed = argv[i + 1], argv[i + 2], argv[i + 3]
      if cell_of[driver] and cell_of[driver] ~= cell then
        add_to(left, cell_of[driver], driver)
      end
      add_to(entered, cell, driver, packed)
      index_entries[#index_entries + 1] = driver
      index_entries[#index_entries + 1] = cell .. '|' .. t_ms
      seen_entries[#seen_entries + 1] = t_ms
      seen_entries[#seen_entries + 1] = driver
    end
  end

  for cell, names in pairs(left) do
    redis.call('HDEL', prefix .. cell, unpack(names))
  end
  for cell, fields in pairs(entered) do
    redis.call('HSET', prefix .. cell, unpack(fields))
  end
  if accepted > 0 then
    redis.call('HSET', index, unpack(index_entries))
    redis.call('ZADD', seen, unpack(seen_entries))
    redis.call('HINCRBY', totals, 'pings_accepted', accepted)
  end
  for i = 3, first - 2, 2 do
    redis.call('HINCRBY', totals, 'pings_rejected:' .. argv[i], argv[i + 1])
  end
  return accepted
end

local function take_out(index, seen, prefix, drivers)
  if #drivers == 0 then
    return 0
  end
  local left = {}
  for number, entry in ipairs(redis.call('HMGET', index, unpack(drivers))) do
    local cell = cell_and_time(entry)
    if cell then
      add_to(left, cell, drivers[number])
    end
  end
  for cell, names in pairs(left) do
    redis.call('HDEL', prefix .. cell, unpack(names))
  end
  redis.call('HDEL', index, unpack(drivers))
  return redis.call('ZREM', seen, unpack(drivers))
end

-- KEYS index seen; ARGV prefix, then drivers. Returns how many were in.
local function remove(keys, argv)
  local drivers = {}
  for i = 2, #argv do
    drivers[#drivers + 1] = argv[i]
  end
  return take_out(keys[1], keys[2], argv[1], drivers)
end

-- KEYS index seen; ARGV prefix, before_ms, after_ms, limit. Returns how many were taken out, at most the limit.
local function sweep(keys, argv)
  local limit = tonumber(argv[4])
  local drivers = redis.call('ZRANGEBYSCORE', keys[2], '-inf', '(' .. argv[2], 'LIMIT', 0, limit)
  if #drivers < limit then
    local early = redis.call('ZRANGEBYSCORE', keys[2], '(' .. argv[3], '+inf', 'LIMIT', 0, limit - #drivers)
    for _, driver in ipairs(early) do
      drivers[#drivers + 1] = driver
    end
  end
  return take_out(keys[1], keys[2], argv[1], drivers)
end

redis.register_function('hexhail_cells_put', put)
redis.register_function('hexhail_cells_remove', remove)
redis.register_function('hexhail_cells_sweep', sweep)
