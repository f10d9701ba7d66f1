-- KEYS: holder, handled (hash: sender -> number of its last handled message and when), numbers (see append.lua)
-- ARGV: incarnation, seconds after which a silent sender is forgotten
-- Answers what was handled, flat. Senders that were silent for long are forgotten once there are many.
if tonumber(redis.call('GET', KEYS[1]) or '0') > tonumber(ARGV[1]) then
    return redis.error_reply('FENCED')
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 604800) -- see handled.lua; a holder that finds it gone serves anew
local now = tonumber(redis.call('TIME')[1])
for at = 2, 3 do
    if redis.call('HLEN', KEYS[at]) > 1000 then
        local all = redis.call('HGETALL', KEYS[at])
        for i = 1, #all, 2 do
            if now - tonumber(string.match(all[i + 1], '%d+$')) > tonumber(ARGV[2]) then
                redis.call('HDEL', KEYS[at], all[i])
            end
        end
    end
end
return redis.call('HGETALL', KEYS[2])
