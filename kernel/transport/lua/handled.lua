-- KEYS: stream, holder, handled (see serve.lua)
-- ARGV: incarnation, how many senders, then for each: sender, number of its last handled message; then ids of entries
-- all of whose messages were handled
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return redis.error_reply('FENCED') end
local now, at = redis.call('TIME')[1], 3
for _ = 1, tonumber(ARGV[2]) do
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1] .. ':' .. now)
    at = at + 2
end
for from = at, #ARGV, 1000 do
    redis.call('XDEL', KEYS[1], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
-- What stands for no message goes when it was not needed for a week: names of nodes are never used again.
redis.call('EXPIRE', KEYS[2], 604800)
redis.call('EXPIRE', KEYS[3], 604800)
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('EXPIRE', KEYS[1], 604800) end
return 1
