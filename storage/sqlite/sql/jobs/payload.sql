SELECT payload
FROM jobs
WHERE id = ?
