-- BATCH: wall_ms, boot id, then columns: ids, tokens, states, results, reasons, failures. In place of a column stands a
-- single token or state that all share, or false where there is no result, no reason, no failure at all.
-- Answers a text with '1' for each end that stands.
local wall_ms, boot, ids, tokens, states, results, reasons, failures = unpack(BATCH, 1, 8)
local one_token, one_state = type(tokens) == 'number' and tokens, type(states) == 'number' and states
results, reasons, failures = results or {}, reasons or {}, failures or {}
local raws, at_wall_ms, finished = fields_of(HEAD, ids), score(wall_ms), struct.pack('>i8', wall_ms)
local leased, owned = {}, {} -- by token: how a header begins while it is leased under it, and these bytes but the state

local answer, written, released, done, accepted = {}, {}, {}, {}, 0
local kept_results, kept_reasons, unreasoned, kept_failures, ended = {}, {}, {}, {}, {}
for index, id in ipairs(ids) do
    local token, state, raw = one_token or tokens[index], one_state or states[index], ended[id] or raws[index]
    if not leased[token] then
        owned[token] = struct.pack('>i8c16', token, boot)
        leased[token] = string.char(EXECUTING) .. owned[token]
    end
    if is_head(raw) and string.sub(raw, 1, 25) == leased[token] then
        local reason = reasons[index]
        if reason then
            add_pair(kept_reasons, id, reason)
        elseif string.byte(raw, 26) == 1 and state ~= CANCELLED then
            add(unreasoned, id) -- the reason was that of a cancel which came too late
        end
        moved(queue_of(raw), EXECUTING, state)
        raw = string.char(state) .. owned[token] .. '\0' .. string.sub(raw, 27, 38) .. finished
            .. string.sub(raw, MOVED + 1)
        ended[id] = raw
        accepted = accepted + 1
        released[accepted] = id
        written[2 * accepted - 1], written[2 * accepted] = id, raw
        done[2 * accepted - 1], done[2 * accepted] = at_wall_ms, id
        if results[index] then add_pair(kept_results, id, results[index]) end
        if failures[index] then add(kept_failures, { id, failures[index] }) end
        answer[index] = '1'
    else
        local stands = is_head(raw) and string.byte(raw) == state and string.sub(raw, 2, 25) == owned[token]
        answer[index] = stands and '1' or '0'
    end
end

call('ZREM', lease_key(boot), released)
call('HSET', HEAD, written)
call('HSET', RESULT, kept_results)
call('HSET', REASON, kept_reasons)
call('HDEL', REASON, unreasoned)
call('ZADD', DONE, done)
for _, one in ipairs(kept_failures) do
    redis.call('HSET', FAILURE, one[1], (redis.call('HGET', FAILURE, one[1]) or '') .. one[2])
end
write_counts()
return table.concat(answer)
