-- retry, snooze and hand_back. A job whose cancellation was requested does not return to the line.
-- BATCH: wall_ms, boot id, states in which a repeat finds the job (as text), then for each job
--        id, token, state, run_at (false: its own), attempts restored, failure (false: none)
-- Answers a text with '1' for each that stands.
local wall_ms, boot, repeated_as, WIDTH = BATCH[1], BATCH[2], BATCH[3], 6
local ids = {}
for at = 4, #BATCH, WIDTH do add(ids, BATCH[at]) end
local heads = heads_of(ids)

local answer, written, released, done, failures, lines = {}, {}, {}, {}, {}, gathered()
for index, id in ipairs(ids) do
    local at = 3 + (index - 1) * WIDTH
    local token, state, run_at, restored, failure = unpack(BATCH, at + 2, at + 6)
    local h = heads[id]
    if is_leased(h, token, boot) then
        h.attempt = h.attempt - restored
        if h.cancel == 1 then
            h.state, h.finished, h.cancel = CANCELLED, wall_ms, 0
            add_pair(done, wall_ms, id)
        else
            h.state, h.run_at = state, run_at or h.run_at
            if state == AVAILABLE then
                add_pair(lines[ready_key(h.queue)], ready_score(h), id)
            else
                add_pair(lines[due_key(h.queue)], h.run_at, id)
            end
        end
        moved(h.queue, EXECUTING, h.state)
        add_pair(written, id, raw_of(h))
        add(released, id)
        if failure then add(failures, { id, failure }) end
        answer[index] = '1'
    else
        local stands = h and h.token == token and h.boot == boot and string.find(repeated_as, h.state, 1, true)
        answer[index] = stands and '1' or '0'
    end
end

call('ZREM', lease_key(boot), released)
call('HSET', HEAD, written)
call('ZADD', DONE, done)
call_all('ZADD', lines)
for _, one in ipairs(failures) do
    redis.call('HSET', FAILURE, one[1], (redis.call('HGET', FAILURE, one[1]) or '') .. one[2])
end
write_counts()
return table.concat(answer)
