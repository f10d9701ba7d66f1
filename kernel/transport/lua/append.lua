-- KEYS: stream, numbers (hash: sender -> number of its last message and when)
-- ARGV: sender, number of the first message, how many, payload, most entries that may wait, lifetime in ms or 0
-- Answers 1: the entry is there, by this call or an earlier one; 0: too much waits.
local last = tonumber(string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '0', '^%d+'))
local ends = tonumber(ARGV[2]) + tonumber(ARGV[3]) - 1
if ends <= last then return 1 end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[5]) then return 0 end
redis.call('XADD', KEYS[1], '*', 's', ARGV[1], 'n', ARGV[2], 'm', ARGV[4])
redis.call('HSET', KEYS[2], ARGV[1], string.format('%d:%d', ends, redis.call('TIME')[1]))
if ARGV[6] == '0' then
    redis.call('PERSIST', KEYS[1]) -- see handled.lua
    redis.call('EXPIRE', KEYS[2], 604800)
else
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
    redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
return 1
