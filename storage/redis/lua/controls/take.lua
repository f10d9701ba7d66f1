-- BATCH: boot id, limit
-- Answers ids in order, and what `controls` keeps of each.
local ids = redis.call('ZRANGE', asks_key(BATCH[1]), 0, BATCH[2] - 1)
return { ids, fields_of(CONTROLS, ids) }
