UPDATE jobs
SET
    state = 0,
    run_at = :now,
    vtime = :now,
    attempt = 0,
    crashes = 0,
    boot_id = NULL,
    started_at = NULL,
    finished_at = NULL,
    reason = NULL,
    progress = NULL,
    result = NULL
WHERE id = :id
    AND state NOT IN (0, 3)
