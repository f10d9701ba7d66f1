UPDATE jobs
SET
    state = ends.column4,
    result = ends.column5,
    -- 6 is cancelled: without a reason of its own it keeps the one that cancel gave
    reason = CASE WHEN ends.column6 IS NULL AND ends.column4 = 6 THEN reason ELSE ends.column6 END,
    finished_at = ?,
    lease_until = NULL,
    cancel_requested = 0
FROM (VALUES /*each*/ (?, ?, ?, ?, ?, ?) /*end*/) AS ends
WHERE jobs.id = ends.column1
    AND jobs.claim_token = ends.column2
    AND jobs.boot_id = ends.column3
    AND jobs.state = 3
