-- BATCH: lease_ms, boot id, what `seen` keeps of the node, then for each beat id, token, progress (false: no news)
-- Answers the positions of the lost and of those to be cancelled, for each orphan id, token, queue, and
-- the server's time.
local lease_ms, boot, seen, WIDTH = BATCH[1], BATCH[2], BATCH[3], 3
local now = server_ms()
local lease_until, leases = score(now + lease_ms), lease_key(boot)
local held = redis.call('ZRANGE', leases, 0, -1)
local heads = heads_of(held)

local lost, stopped, orphans, renewed, progress, named = {}, {}, {}, {}, {}, {}
for at = 4, #BATCH, WIDTH do
    local id, token, news = BATCH[at], BATCH[at + 1], BATCH[at + 2]
    local position, h = (at - 4) / WIDTH, heads[id]
    named[id] = true
    if not is_leased(h, token, boot) then
        add(lost, position)
    else
        add_pair(renewed, lease_until, id)
        if news then add_pair(progress, id, news) end
        if h.cancel == 1 then add(stopped, position) end
    end
end
for _, id in ipairs(held) do
    local h = heads[id]
    if h and not named[id] then add(orphans, { id, h.token, h.queue }) end
end

write_beyond_maxmemory()
call('ZADD', leases, renewed)
call('HSET', PROGRESS, progress)
if redis.call('HEXISTS', NODES, boot) == 1 then redis.call('HSET', SEEN, boot, seen) end
return { lost, stopped, orphans, now }
