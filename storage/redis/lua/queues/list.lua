-- BATCH: empty
-- Answers queues with their switches, counters, and for each queue the oldest run_at of its available jobs or -1.
local queues, oldest = redis.call('HGETALL', QUEUES), {}
for at = 1, #queues, 2 do
    local first = NEVER
    -- An available job's vtime is its run_at, so the oldest stands first in the line of its priority.
    for priority = 0, 3 do
        local from = string.format('%.0f', (priority - 0.5) * PRIORITY)
        local to = string.format('%.0f', (priority + 0.5) * PRIORITY)
        local head = redis.call('ZRANGEBYSCORE', ready_key(queues[at]), from, to, 'WITHSCORES', 'LIMIT', 0, 1)
        if head[2] then
            local vtime = tonumber(head[2]) - priority * PRIORITY
            if first == NEVER or vtime < first then first = vtime end
        end
    end
    add(oldest, first)
end
return { queues, redis.call('HGETALL', COUNTS), oldest }
