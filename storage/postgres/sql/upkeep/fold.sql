-- Adds up what transitions appended. Two at once take different rows.
WITH head AS MATERIALIZED (
    SELECT counts.ctid
    FROM callboard.counts AS counts
    LIMIT 20000
    FOR UPDATE SKIP LOCKED
),
taken AS (
    DELETE FROM callboard.counts AS counts
    WHERE counts.ctid = ANY (ARRAY(SELECT head.ctid FROM head))
    RETURNING counts.queue, counts.state, counts.n
)
INSERT INTO callboard.counts (queue, state, n)
SELECT queue, state, sum(n)
FROM taken
GROUP BY queue, state
HAVING sum(n) <> 0
