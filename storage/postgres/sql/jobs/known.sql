SELECT id
FROM callboard.jobs
WHERE id = ANY ($1::uuid[])
