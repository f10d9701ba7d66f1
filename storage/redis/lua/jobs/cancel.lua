-- BATCH: wall_ms, reason, then ids
-- Answers a text with a letter for each: C cancelled, R requested, T too late, M missing.
local wall_ms, reason = BATCH[1], BATCH[2]
local ids = {}
for at = 3, #BATCH do add(ids, BATCH[at]) end
local heads = heads_of(ids)

local answer, written, done, reasons, out = {}, {}, {}, {}, gathered()
for index, id in ipairs(ids) do
    local h = heads[id]
    if not h then
        answer[index] = 'M'
    elseif h.state == CANCELLED then
        answer[index] = 'C'
    elseif h.state > EXECUTING then
        answer[index] = 'T'
    else
        add_pair(reasons, id, reason)
        if h.state == EXECUTING then
            h.cancel = 1
            answer[index] = 'R'
        else
            add(out[place_of(h)], id)
            moved(h.queue, h.state, CANCELLED)
            h.state, h.finished, h.boot = CANCELLED, wall_ms, NOBODY
            add_pair(done, wall_ms, id)
            answer[index] = 'C'
        end
        add_pair(written, id, raw_of(h))
    end
end

write_beyond_maxmemory()
call_all('ZREM', out)
call('HSET', HEAD, written)
call('HSET', REASON, reasons)
call('ZADD', DONE, done)
write_counts()
return table.concat(answer)
