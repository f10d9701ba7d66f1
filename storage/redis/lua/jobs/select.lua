-- BATCH: greatest id (exclusive; '' for none), how many ids to look at, how many jobs to give, a set of states,
--        queue, name (false: any), whether only to count
-- Answers how many match, the last id that was looked at ('' when there is no further), and the columns of the jobs.
local before, looked_at, limit, states, queue, name, counts_only = unpack(BATCH)
local from = before == '' and '+' or '(' .. before
local ids = redis.call('ZREVRANGEBYLEX', IDS, from, '-', 'LIMIT', 0, looked_at)
local heads, matching, last = fields_of(HEAD, ids), {}, ''
for index, id in ipairs(ids) do
    local h = head_of(heads[index])
    if h and string.find(states, h.state, 1, true) and (not queue or h.queue == queue)
        and (not name or string.sub(h.tail, 3 + #h.queue) == name) then
        add(matching, id)
        if #matching == limit and not counts_only then
            return { #matching, id, rows_of(matching) }
        end
    end
end
if #ids == looked_at then last = ids[#ids] end
return { #matching, last, counts_only and {} or rows_of(matching) }
