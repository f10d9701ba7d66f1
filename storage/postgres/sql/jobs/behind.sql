-- $1 queue · $2 to $5 vtime by priority
-- For each priority in which a job waits behind that vtime: the first such vtime.
SELECT line.priority, head.vtime
FROM (
    VALUES (0::smallint, $2::bigint), (1::smallint, $3::bigint), (2::smallint, $4::bigint), (3::smallint, $5::bigint)
) AS line (priority, floor)
CROSS JOIN LATERAL (
    SELECT ready.vtime
    FROM callboard.ready AS ready
    WHERE ready.queue = $1::text
        AND ready.priority = line.priority
        AND ready.vtime < line.floor
    ORDER BY ready.vtime
    LIMIT 1
) AS head
