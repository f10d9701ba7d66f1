-- BATCH: boot id, what a node said of itself, its last beat and report
write_beyond_maxmemory()
redis.call('HSET', NODES, BATCH[1], BATCH[2])
redis.call('HSET', SEEN, BATCH[1], BATCH[3])
return 1
