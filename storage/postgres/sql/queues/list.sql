SELECT
    queues.name,
    queues.is_paused,
    counted.state,
    counted.n,
    -- An available job's vtime is its run_at, so the oldest stands first in the line of its priority.
    (
        SELECT min(head.vtime)
        FROM (VALUES (0), (1), (2), (3)) AS priorities (priority)
        CROSS JOIN LATERAL (
            SELECT ready.vtime
            FROM callboard.ready AS ready
            WHERE ready.queue = queues.name
                AND ready.priority = priorities.priority
            ORDER BY ready.vtime
            LIMIT 1
        ) AS head
    ) AS oldest
FROM callboard.queues AS queues
LEFT JOIN (
    SELECT queue, state, sum(n)::bigint AS n
    FROM callboard.counts
    GROUP BY queue, state
) AS counted ON counted.queue = queues.name
ORDER BY queues.name COLLATE "C"
