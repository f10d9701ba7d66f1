-- BATCH: for each request id, boot id, asked_at as text, what `controls` keeps of it
local WIDTH = 4
write_beyond_maxmemory()
for at = 1, #BATCH, WIDTH do
    local id, boot, asked_at, kept = unpack(BATCH, at, at + WIDTH - 1)
    if redis.call('HSETNX', CONTROLS, id, kept) == 1 then
        redis.call('ZADD', ASKED, asked_at, id)
        redis.call('ZADD', asks_key(boot), asked_at, id)
    end
end
return 1
