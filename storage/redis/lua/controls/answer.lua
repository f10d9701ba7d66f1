-- BATCH: for each answer id, body
write_beyond_maxmemory()
for at = 1, #BATCH, 2 do
    local id, body = BATCH[at], BATCH[at + 1]
    local kept = redis.call('HGET', CONTROLS, id)
    if kept and redis.call('HSETNX', ANSWERS, id, body) == 1 then
        redis.call('ZREM', asks_key(cmsgpack.unpack(kept)[1]), id)
    end
end
return 1
