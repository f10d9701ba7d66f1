UPDATE jobs
SET
    state = taken.column4,
    attempt = attempt - 1,
    crashes = crashes + 1,
    boot_id = NULL,
    lease_until = NULL,
    cancel_requested = 0,
    reason = CASE taken.column4 WHEN 5 THEN 'poison' ELSE reason END,
    finished_at = taken.column5
FROM (VALUES /*each*/ (?, ?, ?, ?, ?) /*end*/) AS taken
WHERE jobs.id = taken.column1
    AND jobs.claim_token = taken.column2
    AND jobs.boot_id = taken.column3
    AND jobs.state = 3
