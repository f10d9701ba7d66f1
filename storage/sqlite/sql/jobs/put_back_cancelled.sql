-- retry, snooze and hand_back of a job whose cancellation was requested: it does not return to the line
UPDATE jobs
SET
    state = 6,
    finished_at = ?,
    attempt = attempt - ?,
    lease_until = NULL,
    cancel_requested = 0
WHERE id = ?
    AND claim_token = ?
    AND boot_id = ?
    AND state = 3
