-- BATCH: wall_ms, boot id, then for each end id, token, state, result, reason, failure (false where there is none)
-- Answers a text with '1' for each end that stands.
local wall_ms, boot, WIDTH = BATCH[1], BATCH[2], 6
local ids = {}
for at = 3, #BATCH, WIDTH do add(ids, BATCH[at]) end
local heads = heads_of(ids)

local answer, written, released, done = {}, {}, {}, {}
local results, reasons, unreasoned, failures = {}, {}, {}, {}
for index, id in ipairs(ids) do
    local at = 2 + (index - 1) * WIDTH
    local token, state, result, reason, failure = unpack(BATCH, at + 2, at + 6)
    local h = heads[id]
    if is_leased(h, token, boot) then
        moved(h.queue, EXECUTING, state)
        if reason then
            add(reasons, id, reason)
        elseif h.cancel == 1 and state ~= CANCELLED then
            add(unreasoned, id) -- the reason was that of a cancel which came too late
        end
        h.state, h.finished, h.cancel = state, wall_ms, 0
        add(written, id, raw_of(h))
        add(released, id)
        add(done, wall_ms, id)
        if result then add(results, id, result) end
        if failure then add(failures, { id, failure }) end
        answer[index] = '1'
    else
        answer[index] = (h and h.state == state and h.token == token and h.boot == boot) and '1' or '0'
    end
end

call('ZREM', lease_key(boot), released)
call('HSET', HEAD, written)
call('HSET', RESULT, results)
call('HSET', REASON, reasons)
call('HDEL', REASON, unreasoned)
call('ZADD', DONE, done)
for _, one in ipairs(failures) do
    redis.call('HSET', FAILURE, one[1], (redis.call('HGET', FAILURE, one[1]) or '') .. one[2])
end
write_counts()
return table.concat(answer)
