-- BATCH: '1' to pause or '0' to resume, then queues. Resuming makes no queue.
write_beyond_maxmemory()
for at = 2, #BATCH do
    if BATCH[1] == '1' or redis.call('HEXISTS', QUEUES, BATCH[at]) == 1 then
        redis.call('HSET', QUEUES, BATCH[at], BATCH[1])
    end
end
return 1
