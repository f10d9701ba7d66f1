-- KEYS: stream, holder, handled (hash: sender -> number of its last handled message and when), numbers (see append.lua)
-- ARGV: incarnation, group, seconds after which a silent sender is forgotten
-- Answers what was handled, flat. The groups of earlier incarnations go: whoever still reads for one is refused at once,
-- also in a call that waits, and is given no entry any more. A new group begins with all that was not removed.
-- Senders that were silent for long are forgotten once there are many.
local incarnation = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[2]) or '0') > incarnation then return redis.error_reply('FENCED') end
redis.call('SET', KEYS[2], ARGV[1])
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[2], '0', 'MKSTREAM')
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if group[2] ~= ARGV[2] then redis.call('XGROUP', 'DESTROY', KEYS[1], group[2]) end
end
local now = tonumber(redis.call('TIME')[1])
for at = 3, 4 do
    if redis.call('HLEN', KEYS[at]) > 1000 then
        local all = redis.call('HGETALL', KEYS[at])
        for i = 1, #all, 2 do
            if now - tonumber(string.match(all[i + 1], '%d+$')) > tonumber(ARGV[3]) then
                redis.call('HDEL', KEYS[at], all[i])
            end
        end
    end
end
return redis.call('HGETALL', KEYS[3])
