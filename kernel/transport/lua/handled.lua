-- KEYS: stream, holder, handled (see serve.lua)
-- ARGV: incarnation, group, how many senders, then for each: sender, number of its last handled message; then ids of
-- entries all of whose messages were handled
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return redis.error_reply('FENCED') end
local now, at = redis.call('TIME')[1], 4
for _ = 1, tonumber(ARGV[3]) do
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1] .. ':' .. now)
    at = at + 2
end
for from = at, #ARGV, 1000 do
    local upto = math.min(from + 999, #ARGV)
    redis.call('XACK', KEYS[1], ARGV[2], unpack(ARGV, from, upto))
    redis.call('XDEL', KEYS[1], unpack(ARGV, from, upto))
end
return 1
