#!lua name=hexhail_cells

-- Who is in which cell, guarded by time: a newer position wins, whoever writes it and in whatever order.
--
--   index    hash        driver -> <cell>|<t_ms>: 15 hexadecimal digits, and 13 decimal ones
--   totals   hash        counters
--   cell     hash        driver -> packed position; key = prefix .. cell
--   stale    stream      a DriverWentStale for each driver that the sweep has taken out
--
-- A call takes at most 1,000 drivers: unpack() ends at about 8,000 values. Every key bears the same {region} tag.

local CELL_CHARS, ENTRY_BYTES, PACKED_BYTES = 15, 29, 24
-- A reader that is further behind knows all it needs from the cells.
local STALE_TOLD_MAX = 10000

local function cell_of(entry)
  return string.sub(entry, 1, CELL_CHARS)
end

local function time_of(entry)
  -- What is no entry is older than any: the driver's next ping or the sweep replaces it.
  return tonumber(string.sub(entry, CELL_CHARS + 2)) or -1
end

-- Positions of one driver that were believed before the newest one count if they were not stored already.
local function count_newer(earlier, t_ms_of)
  local newer = 0
  for i = 1, #earlier, 2 do
    if earlier[i + 1] > t_ms_of[earlier[i] + 1] then
      newer = newer + 1
    end
  end
  return newer
end

local function leave(prefix, left)
  for cell, drivers in pairs(left) do
    redis.call('HDEL', prefix .. cell, unpack(drivers))
  end
end

-- Stores the newer of the positions, which are ascending by cell; returns how many, and what was stored before.
local function store(index, prefix, drivers, records)
  local sub = string.sub
  local stored = redis.call('HMGET', index, unpack(drivers))
  local t_ms_of, left, entries, fields, cell = {}, {}, {}, {}, nil
  local function flush()
    if #fields > 0 then
      redis.call('HSET', prefix .. cell, unpack(fields))
      fields = {}
    end
  end
  local count, from, n = 0, 0, 0
  for place = 1, #drivers do
    local old, driver = stored[place], drivers[place]
    local entry = sub(records, from + 1, from + ENTRY_BYTES)
    t_ms_of[place] = old and time_of(old) or -1
    if time_of(entry) > t_ms_of[place] then
      local new_cell = cell_of(entry)
      if new_cell ~= cell then
        flush()
        cell, n = new_cell, 0
      end
      local old_cell = old and cell_of(old)
      if old_cell and old_cell ~= cell then
        local leaving = left[old_cell] or {}
        leaving[#leaving + 1] = driver
        left[old_cell] = leaving
      end
      fields[n + 1] = driver
      fields[n + 2] = sub(records, from + ENTRY_BYTES + 1, from + ENTRY_BYTES + PACKED_BYTES)
      n = n + 2
      entries[count + 1] = driver
      entries[count + 2] = entry
      count = count + 2
    end
    from = from + ENTRY_BYTES + PACKED_BYTES
  end
  flush()
  leave(prefix, left)
  if count > 0 then
    redis.call('HSET', index, unpack(entries))
  end
  return count / 2, t_ms_of
end

-- KEYS index totals; ARGV prefix, drivers as MessagePack, for each of them an index entry and the packed position, the
-- earlier positions as MessagePack (place of the driver from 0, t_ms, ...), then (reason, count) for each reason.
-- Returns how many positions were newer than what was stored, the earlier ones included.
local function put(keys, argv)
  local index, totals, prefix = keys[1], keys[2], argv[1]
  local drivers = cmsgpack.unpack(argv[2])
  local newer = 0
  if #drivers > 0 then
    local stored, t_ms_of = store(index, prefix, drivers, argv[3])
    newer = stored + count_newer(cmsgpack.unpack(argv[4]), t_ms_of)
  end
  if newer > 0 then
    redis.call('HINCRBY', totals, 'pings_accepted', newer)
  end
  for i = 5, #argv, 2 do
    redis.call('HINCRBY', totals, 'pings_rejected:' .. argv[i], argv[i + 1])
  end
  return newer
end

local function take_out(index, prefix, drivers, entries)
  local left, found = {}, {}
  for number, driver in ipairs(drivers) do
    local entry = entries[number]
    if entry then
      local cell = cell_of(entry)
      left[cell] = left[cell] or {}
      table.insert(left[cell], driver)
      found[#found + 1] = driver
    end
  end
  leave(prefix, left)
  if #found > 0 then
    redis.call('HDEL', index, unpack(found))
  end
  return #found
end

-- KEYS index; ARGV prefix, drivers as MessagePack. Returns how many were in.
local function remove(keys, argv)
  local drivers = cmsgpack.unpack(argv[2])
  return take_out(keys[1], argv[1], drivers, redis.call('HMGET', keys[1], unpack(drivers)))
end

-- Told in the same call that takes the driver out: neither can happen without the other.
local function tell(stale, drivers, entries)
  for number, driver in ipairs(drivers) do
    local seen_ms = string.format('%.0f', time_of(entries[number]))
    redis.call('XADD', stale, 'MAXLEN', '~', STALE_TOLD_MAX, '*',
      'event', 'DriverWentStale', 'driver_id', driver, 'seen_ms', seen_ms)
  end
end

-- KEYS index stale; ARGV prefix, before_ms, after_ms, cursor, about how many to look at. Returns the next cursor, 0 at
-- the end, and how many were taken out.
local function sweep(keys, argv)
  local before_ms, after_ms = tonumber(argv[2]), tonumber(argv[3])
  local found = redis.call('HSCAN', keys[1], argv[4], 'COUNT', argv[5])
  local drivers, entries = {}, {}
  for i = 1, #found[2], 2 do
    local t_ms = time_of(found[2][i + 1])
    if t_ms < before_ms or t_ms > after_ms then
      drivers[#drivers + 1] = found[2][i]
      entries[#entries + 1] = found[2][i + 1]
    end
  end
  tell(keys[2], drivers, entries)
  return {found[1], take_out(keys[1], argv[1], drivers, entries)}
end

redis.register_function('hexhail_cells_put', put)
redis.register_function('hexhail_cells_remove', remove)
redis.register_function('hexhail_cells_sweep', sweep)
