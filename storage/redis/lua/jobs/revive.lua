-- BATCH: wall_ms, then ids
-- Answers a text with '1' for each that is available now.
local wall_ms, ids = BATCH[1], {}
for at = 2, #BATCH do add(ids, BATCH[at]) end
local heads = heads_of(ids)

local answer, written, forgotten, unprogressed = {}, {}, {}, {}
local out, lines = gathered(), gathered()
for index, id in ipairs(ids) do
    local h = heads[id]
    if not h or h.state == EXECUTING then
        answer[index] = '0'
    else
        answer[index] = '1'
        h.attempt, h.crashes, h.boot, h.started = 0, 0, NOBODY, NEVER
        add(unprogressed, id)
        if h.state ~= AVAILABLE then -- one that is available keeps its place
            add(out[place_of(h)], id)
            moved(h.queue, h.state, AVAILABLE)
            h.state, h.vtime, h.run_at, h.finished = AVAILABLE, wall_ms, wall_ms, NEVER
            add_pair(lines[ready_key(h.queue)], h.priority * PRIORITY + wall_ms, id)
            add(forgotten, id)
        end
        add_pair(written, id, raw_of(h))
    end
end

write_beyond_maxmemory()
call_all('ZREM', out)
call('HDEL', PROGRESS, unprogressed)
call('HDEL', RESULT, forgotten)
call('HDEL', REASON, forgotten)
call('HSET', HEAD, written)
call_all('ZADD', lines)
write_counts()
return table.concat(answer)
