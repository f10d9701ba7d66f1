-- retry, snooze and hand_back of a job that nobody asked to cancel
UPDATE jobs
SET
    state = back.column4,
    run_at = coalesce(back.column5, run_at),
    attempt = attempt - back.column6,
    lease_until = NULL
FROM (VALUES /*each*/ (?, ?, ?, ?, ?, ?) /*end*/) AS back
WHERE jobs.id = back.column1
    AND jobs.claim_token = back.column2
    AND jobs.boot_id = back.column3
    AND jobs.state = 3
    AND jobs.cancel_requested = 0
