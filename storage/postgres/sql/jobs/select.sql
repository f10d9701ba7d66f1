-- $1 below this id, NULL: from the greatest · $2 state codes · $3 queue or NULL · $4 name or NULL · $5 limit
SELECT
    id, queue, name, state, priority, vtime, run_at, inserted_at, attempt, claim_token, crashes, payload, timeout_ms,
    boot_id, lease_until, started_at, finished_at, cancel_requested, result, reason, progress
FROM callboard.whole
WHERE ($1::uuid IS NULL OR id < $1)
    AND state = ANY ($2::smallint[])
    AND ($3::text IS NULL OR queue = $3)
    AND ($4::text IS NULL OR name = $4)
ORDER BY id DESC
LIMIT $5::bigint
