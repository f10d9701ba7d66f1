-- BATCH: for each job id, header, payload, queue, state, priority, run_at
-- Answers a text with '1' for each job that was created and '0' for each that was there. The header comes first: it is
-- the write that maxmemory refuses, and then nothing was written.
local WIDTH = 7
local ids, known, answer = {}, {}, {}
for at = 1, #BATCH, WIDTH do add(ids, BATCH[at]) end
for index, raw in ipairs(fields_of(HEAD, ids)) do known[ids[index]] = raw end

local heads, bodies, members, queues, lines = {}, {}, {}, {}, gathered()
for index, id in ipairs(ids) do
    if known[id] then
        answer[index] = '0'
    else
        local _, head, body, queue, state, priority, run_at = unpack(BATCH, (index - 1) * WIDTH + 1, index * WIDTH)
        known[id], answer[index] = true, '1'
        add(heads, id, head)
        add(bodies, id, body)
        add(members, 0, id)
        if state == AVAILABLE then
            add(lines[ready_key(queue)], priority * PRIORITY + run_at, id)
        else
            add(lines[due_key(queue)], run_at, id)
        end
        queues[queue] = true
        moved(queue, nil, state)
    end
end

call('HSET', HEAD, heads)
call('HSET', BODY, bodies)
call('ZADD', IDS, members)
call_all('ZADD', lines)
for queue in pairs(queues) do redis.call('HSETNX', QUEUES, queue, '0') end
write_counts()
return table.concat(answer)
