-- BATCH: boot ids
write_beyond_maxmemory()
call('HDEL', NODES, BATCH)
call('HDEL', SEEN, BATCH)
return 1
