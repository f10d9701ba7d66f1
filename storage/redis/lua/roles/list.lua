-- BATCH: empty
-- Answers for each role its name, number, holder, and what is left of the lease.
local now, answer = server_ms(), {}
for _, name in ipairs(redis.call('HKEYS', ROLES)) do
    local number, lease_until, holder = role_of(name)
    add(answer, { name, number, holder, lease_until - now })
end
return answer
