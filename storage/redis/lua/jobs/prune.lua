-- BATCH: finished_before, limit
-- Answers how many jobs were removed.
local ids = redis.call('ZRANGEBYSCORE', DONE, '-inf', '(' .. string.format('%.0f', BATCH[1]), 'LIMIT', 0, BATCH[2])
write_beyond_maxmemory()
remove_jobs(ids, heads_of(ids))
call('ZREM', DONE, ids)
return #ids
