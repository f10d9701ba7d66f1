-- BATCH: lease_ms, holder, roles
-- Answers for each role number, holder, and what is left of the lease.
local lease_ms, candidate, now, answer = BATCH[1], BATCH[2], server_ms(), {}
write_beyond_maxmemory()
for at = 3, #BATCH do
    local number, lease_until, holder = role_of(BATCH[at])
    if lease_until <= now then
        number, lease_until, holder = number + 1, now + lease_ms, candidate
        redis.call('HSET', ROLES, BATCH[at], struct.pack(ROLE, number, lease_until, holder))
    end
    add(answer, { number, holder, lease_until - now })
end
return answer
