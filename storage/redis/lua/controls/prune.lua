-- BATCH: asked_before as text, at most so many
-- Answers how many were removed.
local ids = redis.call('ZRANGEBYSCORE', ASKED, '-inf', '(' .. BATCH[1], 'LIMIT', 0, BATCH[2])
write_beyond_maxmemory()
for index, kept in ipairs(fields_of(CONTROLS, ids)) do
    if kept then redis.call('ZREM', asks_key(cmsgpack.unpack(kept)[1]), ids[index]) end
end
call('HDEL', CONTROLS, ids)
call('HDEL', ANSWERS, ids)
call('ZREM', ASKED, ids)
return #ids
