#!lua name=hexhail_advice

-- keys: the advice, when it was planned; arguments: planned_ms, then driver and advice by turns.
-- Puts this advice in the place of all that stood: a reader sees one plan or the other.
local function replace(keys, args)
  redis.call('DEL', keys[1])
  for i = 2, #args, 2 do redis.call('HSET', keys[1], args[i], args[i + 1]) end
  redis.call('SET', keys[2], args[1])
  return (#args - 1) / 2
end

redis.register_function('hexhail_advice_replace', replace)
