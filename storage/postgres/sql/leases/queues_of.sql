SELECT id, queue
FROM callboard.jobs
WHERE id = ANY ($1::uuid[])
