SELECT
    id, queue, name, state, priority, vtime, run_at, inserted_at, attempt, claim_token, crashes, payload, timeout_ms,
    boot_id, lease_until, started_at, finished_at, cancel_requested, result, reason, progress
FROM callboard.whole
WHERE id = ANY ($1::uuid[])
