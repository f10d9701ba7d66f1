-- BATCH: lease_ms, then for each term role, holder, number. A lease of 0 ends a term.
-- Answers a text with '1' for each term that ran and '0' for each that was over.
local lease_ms, now, answer, WIDTH = BATCH[1], server_ms(), {}, 3
write_beyond_maxmemory()
for at = 2, #BATCH, WIDTH do
    local role, holder, number = BATCH[at], BATCH[at + 1], BATCH[at + 2]
    local runs = is_running(role, holder, number, now)
    if runs then redis.call('HSET', ROLES, role, struct.pack(ROLE, number, now + lease_ms, holder)) end
    add(answer, runs and '1' or '0')
end
return table.concat(answer)
