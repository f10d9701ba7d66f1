-- BATCH: channel and hint, or nothing to tell; then for each job id, payload, header, queue, state, score in its line
-- Answers a text with '1' for each job that was created and '0' for each that was there. The header comes first: it is
-- the write that maxmemory refuses, and then nothing was written.
local FIRST, WIDTH = 3, 6
local channel, hint = BATCH[1], BATCH[2]
local ids, known, answer, count = {}, {}, {}, 0
for at = FIRST, #BATCH, WIDTH do
    count = count + 1
    ids[count] = BATCH[at]
end
for index, raw in ipairs(fields_of(HEAD, ids)) do known[ids[index]] = raw end

local heads, bodies, members, lines, created = {}, {}, {}, {}, 0
for index = 1, count do
    local at = FIRST - 1 + (index - 1) * WIDTH
    local id = ids[index]
    if known[id] then
        answer[index] = '0'
    else
        local queue, state = BATCH[at + 4], BATCH[at + 5]
        known[id], answer[index] = true, '1'
        created = created + 2
        heads[created - 1], heads[created] = id, BATCH[at + 3]
        bodies[created - 1], bodies[created] = id, BATCH[at + 2]
        members[created - 1], members[created] = '0', id
        local of_queue = lines[queue]
        if not of_queue then
            of_queue = { [AVAILABLE] = {}, [SCHEDULED] = {} }
            lines[queue] = of_queue
        end
        add_pair(of_queue[state], BATCH[at + 6], id)
    end
end

call('HSET', HEAD, heads)
call('HSET', BODY, bodies)
call('ZADD', IDS, members)
for queue, of_queue in pairs(lines) do
    call('ZADD', ready_key(queue), of_queue[AVAILABLE])
    call('ZADD', due_key(queue), of_queue[SCHEDULED])
    moved(queue, nil, AVAILABLE, #of_queue[AVAILABLE] / 2)
    moved(queue, nil, SCHEDULED, #of_queue[SCHEDULED] / 2)
    redis.call('HSETNX', QUEUES, queue, '0')
end
write_counts()
-- To be told is no condition: the server may allow nobody to say anything on the channel.
if hint and created > 0 then redis.pcall('PUBLISH', channel, hint) end
return table.concat(answer)
