-- BATCH: ids
-- Answers a text with '1' for each that was removed.
local heads = heads_of(BATCH)
local answer, removed = {}, {}
for index, id in ipairs(BATCH) do
    local h = heads[id]
    local may = h and h.state ~= EXECUTING and not h.is_removed
    if may then
        h.is_removed = true -- named twice: removed once
        add(removed, id)
    end
    answer[index] = may and '1' or '0'
end
write_beyond_maxmemory()
remove_jobs(removed, heads)
return table.concat(answer)
