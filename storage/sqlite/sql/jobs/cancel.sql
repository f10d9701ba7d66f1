UPDATE jobs
SET state = 6, reason = ?, finished_at = ?, boot_id = NULL
WHERE id = ?
    AND state IN (0, 1, 2)
