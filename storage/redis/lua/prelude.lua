-- Stands before every script.
-- KEYS: the fixed keys in the order of keys.py. Keys of a queue or a boot id are joined from the tag: the same slot.
-- ARGV[1]: store_id, as it was when the handle was opened. ARGV[2]: the tag. ARGV[3]: the batch, as each script says.
-- ARGV[4], if there is one: the term with which the script may run: role, holder, number.
local META, HEAD, BODY, RESULT, REASON, PROGRESS, FAILURE = unpack(KEYS, 1, 7)
local IDS, DONE, COUNTS, QUEUES, NODES, SEEN, BOOTS, BAD = unpack(KEYS, 8, 15)
local ROLES, CONTROLS, ANSWERS, ASKED = unpack(KEYS, 16, 19)
-- A store that was emptied or replaced must not take a token from before.
if redis.call('HGET', META, 'store_id') ~= ARGV[1] then
    return redis.error_reply('STORAGE_RESET')
end
local TAG, BATCH = ARGV[2], cmsgpack.unpack(ARGV[3])

local AVAILABLE, SCHEDULED, RETRYABLE, EXECUTING, FAILED, CANCELLED, LAST = 0, 1, 2, 3, 5, 6, 7
-- As HEAD in rows.py; queue and name follow. A claim writes bytes 1 to 46, an end 1, 26 and 39 to 46: what both leave
-- alone is behind, so that a transition joins pieces of the old header instead of taking it all apart.
local MOVING, MOVED = '>Bi8c16Bi4i8i8', 46
local FORMAT, FIXED = MOVING .. 'Bi4i8i8i8i8', 83
local FORMAT_WITH_QUEUE = FORMAT .. 'Hc0'
local NEVER, NOBODY = -1, string.rep('\0', 16)
local PRIORITY = 2 ^ 50 -- above every millisecond; times 3 still exact in a double
local CHUNK = 4000 -- arguments at once: unpack gives up near 8,000

local function ready_key(queue) return TAG .. 'ready:' .. queue end
local function due_key(queue) return TAG .. 'due:' .. queue end
local function lease_key(boot) return TAG .. 'lease:' .. boot end
local function asks_key(boot) return TAG .. 'asks:' .. boot end

-- Whether these bytes are a header.
local function is_head(raw)
    return raw and #raw >= FIXED + 2 and string.byte(raw) <= LAST
        and #raw >= FIXED + 2 + string.byte(raw, FIXED + 1) * 256 + string.byte(raw, FIXED + 2)
end

-- A header as a table, made in one go; nil when there is none or it is none of ours.
local function head_of(raw)
    if not is_head(raw) then return nil end
    local state, token, boot, cancel, attempt, started, finished, priority, crashes, vtime, run_at, inserted, timeout,
        queue = struct.unpack(FORMAT_WITH_QUEUE, raw)
    return { state = state, priority = priority, cancel = cancel, attempt = attempt, crashes = crashes, token = token,
        boot = boot, vtime = vtime, run_at = run_at, started = started, finished = finished, inserted = inserted,
        timeout = timeout, queue = queue, tail = string.sub(raw, FIXED + 1) }
end

local function raw_of(h)
    return struct.pack(FORMAT, h.state, h.token, h.boot, h.cancel, h.attempt, h.started, h.finished, h.priority,
        h.crashes, h.vtime, h.run_at, h.inserted, h.timeout) .. h.tail
end

local function queue_of(raw)
    local length = string.byte(raw, FIXED + 1) * 256 + string.byte(raw, FIXED + 2)
    return string.sub(raw, FIXED + 3, FIXED + 2 + length)
end

-- A command whose arguments may be many; none at all is no call.
local function call(command, key, arguments)
    for from = 1, #arguments, CHUNK do
        redis.call(command, key, unpack(arguments, from, math.min(from + CHUNK - 1, #arguments)))
    end
end

-- The fields of a hash, in order; false where there is none.
local function fields_of(key, fields)
    if #fields <= CHUNK then
        return #fields > 0 and redis.call('HMGET', key, unpack(fields)) or {}
    end
    local found = {}
    for from = 1, #fields, CHUNK do
        local to = math.min(from + CHUNK - 1, #fields)
        for index, value in ipairs(redis.call('HMGET', key, unpack(fields, from, to))) do
            found[from + index - 1] = value
        end
    end
    return found
end

-- Headers by id; nil for a job that is not there.
local function heads_of(ids)
    local heads = {}
    for index, raw in ipairs(fields_of(HEAD, ids)) do
        heads[ids[index]] = head_of(raw)
    end
    return heads
end

-- What a script will write, gathered by key and written last.
local function gathered()
    return setmetatable({}, { __index = function(lists, key)
        local list = {}
        rawset(lists, key, list)
        return list
    end })
end

local function call_all(command, lists)
    for key, list in pairs(lists) do call(command, key, list) end
end

local function add(list, one)
    list[#list + 1] = one
end

local function add_pair(list, one, other)
    local length = #list
    list[length + 1], list[length + 2] = one, other
end

-- Milliseconds as a score: a number would be written out digit by digit each time it is given to a command.
local function score(ms)
    return string.format('%.0f', ms)
end

local function ready_score(h)
    return string.format('%.0f', h.priority * PRIORITY + h.vtime)
end

local moves = {} -- by queue, then by state

-- Count jobs of a queue from one state, if any, to another, if any.
local function moved(queue, from, to, count)
    local row = moves[queue]
    if not row then
        row = {}
        moves[queue] = row
    end
    count = count or 1
    if from then row[from] = (row[from] or 0) - count end
    if to then row[to] = (row[to] or 0) + count end
end

local function write_counts()
    for queue, row in pairs(moves) do
        for state, count in pairs(row) do
            if count ~= 0 then redis.call('HINCRBY', COUNTS, state .. ':' .. queue, count) end
        end
    end
end

-- Beyond maxmemory a script is refused at its first growing write unless it wrote before. Completions must go on.
local function write_beyond_maxmemory()
    redis.call('ZREM', DONE, '')
end

local function place_of(h)
    if h.state == AVAILABLE then return ready_key(h.queue) end
    if h.state == SCHEDULED or h.state == RETRYABLE then return due_key(h.queue) end
    if h.state == EXECUTING then return lease_key(h.boot) end
    return DONE
end

local function server_ms()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local ROLE = '>i8i8c16' -- number, lease_until, holder; as ROLE in rows.py

-- A role's last term: number, lease_until, holder.
local function role_of(name)
    local raw = redis.call('HGET', ROLES, name)
    if not raw then return 0, NEVER, NOBODY end
    return struct.unpack(ROLE, raw)
end

local function is_running(name, holder, number, now)
    local last, lease_until, held_by = role_of(name)
    return last == number and held_by == holder and lease_until > now
end

if ARGV[4] then
    local role, holder, number = unpack(cmsgpack.unpack(ARGV[4]))
    if not is_running(role, holder, number, server_ms()) then return redis.error_reply('TERM_OVER') end
end

-- Whether a job executes under exactly this claim: the fence of all writes for it.
local function is_leased(h, token, boot)
    return h ~= nil and h.state == EXECUTING and h.token == token and h.boot == boot
end

-- Remove jobs that do not execute, with all that is kept of them.
local function remove_jobs(ids, heads)
    local out = gathered()
    for _, id in ipairs(ids) do
        local h = heads[id]
        if h then
            add(out[place_of(h)], id)
            moved(h.queue, h.state, nil)
        end
    end
    call_all('ZREM', out)
    for _, key in ipairs({ HEAD, BODY, RESULT, REASON, PROGRESS, FAILURE, BAD }) do call('HDEL', key, ids) end
    call('ZREM', IDS, ids)
    write_counts()
end

-- Jobs whole, as `rows.py` takes them: a list for each column.
local function rows_of(ids)
    local heads, leases = fields_of(HEAD, ids), {}
    for index, raw in ipairs(heads) do
        local h = head_of(raw)
        if not h then
            heads[index] = false
        elseif h.state == EXECUTING then
            leases[index] = tonumber(redis.call('ZSCORE', lease_key(h.boot), ids[index]) or NEVER)
        end
        leases[index] = leases[index] or NEVER
    end
    return { ids, heads, fields_of(BODY, ids), fields_of(RESULT, ids), fields_of(REASON, ids),
        fields_of(PROGRESS, ids), leases }
end
