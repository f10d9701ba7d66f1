-- BATCH: wall_ms, lease_ms, boot id, then for each request queue, limit
-- Answers for each request: 1 if paused, the next run_at or -1, ids, headers, payloads.
local wall_ms, lease_ms, boot = BATCH[1], BATCH[2], BATCH[3]
local lease_until = score(server_ms() + lease_ms)
local LEAST_PROMOTED = 100
local begun = {} -- how a claimed header begins, by token, boot, cancel and attempt of before

-- A header that is not ours ends its job, so that it blocks no line; the bytes stay.
local function end_unreadable(queue, state, id)
    local raw = redis.call('HGET', HEAD, id)
    if not raw then
        moved(queue, state, nil)
        redis.call('ZREM', IDS, id)
        return
    end
    local h = { state = FAILED, priority = 2, cancel = 0, attempt = 0, crashes = 0, token = 0, boot = NOBODY,
        vtime = wall_ms, run_at = wall_ms, started = NEVER, finished = wall_ms, inserted = wall_ms, timeout = NEVER }
    h.tail = struct.pack('>H', #queue) .. queue .. 'undecodable'
    redis.call('HSET', BAD, id, raw)
    redis.call('HSET', HEAD, id, raw_of(h))
    redis.call('HSET', REASON, id, 'undecodable')
    redis.call('ZADD', DONE, wall_ms, id)
    moved(queue, state, FAILED)
end

-- UTF-8 from a place on. Whole characters give way to a letter, so that their neighbours do not become one.
local function is_text(raw, from)
    if not string.find(raw, '[\128-\255]', from) then return true end
    local rest = string.sub(raw, from)
    for _, character in ipairs({ '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]',
        '[\225-\236\238\239][\128-\191][\128-\191]', '\237[\128-\159][\128-\191]',
        '\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
        '\244[\128-\143][\128-\191][\128-\191]' }) do
        rest = string.gsub(rest, character, 'x')
    end
    return not string.find(rest, '[\128-\255]')
end

-- A header that a node can read: of this queue, with a name that is text. `seen` holds the ends of headers that are
-- known: most jobs of a batch have one queue and one name.
local function is_readable(raw, queue, seen)
    if not is_head(raw) then return false end
    local tail = string.sub(raw, FIXED + 1)
    if seen[tail] == nil then
        local length = string.byte(tail, 1) * 256 + string.byte(tail, 2)
        seen[tail] = #tail > 2 + length and string.sub(tail, 3, 2 + length) == queue and is_text(tail, 3 + length)
    end
    return seen[tail]
end

local function promote(queue, limit)
    local due = due_key(queue)
    local ids = redis.call('ZRANGEBYSCORE', due, '-inf', wall_ms, 'LIMIT', 0, limit)
    if #ids == 0 then return end
    local written, line, seen = {}, {}, {}
    call('ZREM', due, ids)
    for index, raw in ipairs(fields_of(HEAD, ids)) do
        local id = ids[index]
        if is_readable(raw, queue, seen) then
            local h = head_of(raw)
            moved(queue, h.state, AVAILABLE)
            h.state, h.vtime = AVAILABLE, h.run_at
            add_pair(written, id, raw_of(h))
            add_pair(line, ready_score(h), id)
        else
            end_unreadable(queue, SCHEDULED, id)
        end
    end
    call('HSET', HEAD, written)
    call('ZADD', ready_key(queue), line)
end

local function lease(queue, limit)
    -- Not ZPOPMIN, which writes every score out as text for nobody.
    local waiting = redis.call('ZRANGE', ready_key(queue), 0, limit - 1)
    redis.call('ZREMRANGEBYRANK', ready_key(queue), 0, limit - 1)
    local ids, raws, written, leases, count, seen = {}, {}, {}, {}, 0, {}
    for index, raw in ipairs(fields_of(HEAD, waiting)) do
        local id = waiting[index]
        if is_readable(raw, queue, seen) then
            -- Jobs that wait for the first time are alike in these bytes, so most of a batch shares one new beginning.
            local before = string.sub(raw, 2, 30)
            local beginning = begun[before]
            if not beginning then
                local h = head_of(raw)
                beginning = struct.pack(MOVING, EXECUTING, h.token + 1, boot, h.cancel, h.attempt + 1, wall_ms, NEVER)
                begun[before] = beginning
            end
            raw = beginning .. string.sub(raw, MOVED + 1)
            count = count + 1
            ids[count], raws[count] = id, raw
            written[2 * count - 1], written[2 * count] = id, raw
            leases[2 * count - 1], leases[2 * count] = lease_until, id
        else
            end_unreadable(queue, AVAILABLE, id)
        end
    end
    if count > 0 then
        call('HSET', HEAD, written)
        call('ZADD', lease_key(boot), leases)
        redis.call('SADD', BOOTS, boot)
        moved(queue, AVAILABLE, EXECUTING, count)
    end
    return ids, raws, fields_of(BODY, ids)
end

write_beyond_maxmemory()
local replies = {}
for at = 4, #BATCH, 2 do
    local queue, limit = BATCH[at], BATCH[at + 1]
    if redis.call('HGET', QUEUES, queue) == '1' then
        add(replies, { 1, NEVER, {}, {}, {} })
    else
        promote(queue, math.max(LEAST_PROMOTED, limit))
        local ids, raws, bodies = {}, {}, {}
        if limit > 0 then ids, raws, bodies = lease(queue, limit) end
        local first = redis.call('ZRANGE', due_key(queue), 0, 0, 'WITHSCORES')
        add(replies, { 0, tonumber(first[2] or NEVER), ids, raws, bodies })
    end
end
write_counts()
return replies
