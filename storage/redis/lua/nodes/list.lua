-- BATCH: empty
-- Answers what the nodes said of themselves, and their last beats.
return { redis.call('HGETALL', NODES), redis.call('HGETALL', SEEN) }
