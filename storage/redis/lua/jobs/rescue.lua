-- BATCH: wall_ms, limit, max_crashes, kind and message of the failure that is kept
-- Answers for each job that was taken: id, queue, state.
local wall_ms, limit, max_crashes, kind, message = unpack(BATCH)
local now, expired = server_ms(), {}
for _, boot in ipairs(redis.call('SMEMBERS', BOOTS)) do
    local found = redis.call('ZRANGEBYSCORE', lease_key(boot), '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
    for at = 1, #found, 2 do add(expired, { tonumber(found[at + 1]), found[at], boot }) end
    if #found == 0 and redis.call('EXISTS', lease_key(boot)) == 0 then redis.call('SREM', BOOTS, boot) end
end
table.sort(expired, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)

local ids = {}
for index = 1, math.min(limit, #expired) do ids[index] = expired[index][2] end
local heads = heads_of(ids)
local answer, written, done, reasons, failures = {}, {}, {}, {}, {}
local released, lines = gathered(), gathered()
for index, id in ipairs(ids) do
    local h, boot = heads[id], expired[index][3]
    add(released[lease_key(boot)], id)
    if h and h.state == EXECUTING and h.boot == boot then
        add_pair(failures, id, cmsgpack.pack({ h.token, h.attempt, h.boot, wall_ms, kind, message, '' }))
        h.attempt, h.crashes, h.boot = h.attempt - 1, h.crashes + 1, NOBODY
        h.state = AVAILABLE
        if h.cancel == 1 then
            h.state = CANCELLED
        elseif h.crashes >= max_crashes then
            h.state = FAILED
            add_pair(reasons, id, 'poison')
        end
        h.cancel = 0
        if h.state == AVAILABLE then
            add_pair(lines[ready_key(h.queue)], ready_score(h), id)
        else
            h.finished = wall_ms
            add_pair(done, wall_ms, id)
        end
        moved(h.queue, EXECUTING, h.state)
        add_pair(written, id, raw_of(h))
        add(answer, { id, h.queue, h.state })
    end
end

call_all('ZREM', released)
call('HSET', HEAD, written)
call('HSET', REASON, reasons)
call('ZADD', DONE, done)
call_all('ZADD', lines)
for at = 1, #failures, 2 do
    redis.call('HSET', FAILURE, failures[at], (redis.call('HGET', FAILURE, failures[at]) or '') .. failures[at + 1])
end
write_counts()
return answer
