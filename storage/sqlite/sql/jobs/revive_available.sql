-- It keeps its place in the line.
UPDATE jobs
SET attempt = 0, crashes = 0, boot_id = NULL, started_at = NULL, progress = NULL
WHERE id = ?
    AND state = 0
