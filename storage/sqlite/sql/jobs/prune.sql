SELECT id, queue, state
FROM jobs
WHERE finished_at IS NOT NULL
    AND finished_at < ?
ORDER BY finished_at
LIMIT ?
