-- BATCH: wall_ms, boot id, then for each end id, token, state, result, reason, failure (false where there is none)
-- Answers a text with '1' for each end that stands.
local wall_ms, boot, WIDTH = BATCH[1], BATCH[2], 6
local ids, count = {}, 0
for at = 3, #BATCH, WIDTH do
    count = count + 1
    ids[count] = BATCH[at]
end
local heads, at_wall_ms = heads_of(ids), score(wall_ms)

local answer, written, released, done, accepted = {}, {}, {}, {}, 0
local results, reasons, unreasoned, failures = {}, {}, {}, {}
for index = 1, count do
    local at = 2 + (index - 1) * WIDTH
    local id, token, state = ids[index], BATCH[at + 2], BATCH[at + 3]
    local result, reason, failure = BATCH[at + 4], BATCH[at + 5], BATCH[at + 6]
    local h = heads[id]
    if is_leased(h, token, boot) then
        moved(h.queue, EXECUTING, state)
        if reason then
            add_pair(reasons, id, reason)
        elseif h.cancel == 1 and state ~= CANCELLED then
            add(unreasoned, id) -- the reason was that of a cancel which came too late
        end
        h.state, h.finished, h.cancel = state, wall_ms, 0
        accepted = accepted + 1
        released[accepted] = id
        written[2 * accepted - 1], written[2 * accepted] = id, raw_of(h)
        done[2 * accepted - 1], done[2 * accepted] = at_wall_ms, id
        if result then add_pair(results, id, result) end
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
