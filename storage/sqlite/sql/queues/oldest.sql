-- An available job's vtime is its run_at, so the oldest stands first in the line of its priority.
SELECT
    queues.name,
    min((
        SELECT vtime
        FROM jobs
        WHERE jobs.queue = queues.name AND jobs.state = 0 AND jobs.priority = priorities.column1
        ORDER BY vtime
        LIMIT 1
    ))
FROM queues
CROSS JOIN (VALUES (0), (1), (2), (3)) AS priorities
GROUP BY queues.name
