-- :states is a mask with one bit per state code; :before is above every id on the first page.
SELECT
    id, queue, name, state, priority, vtime, run_at, inserted_at, attempt, claim_token, crashes, payload, timeout_ms,
    boot_id, lease_until, started_at, finished_at, cancel_requested, result, reason, progress
FROM jobs
WHERE id < :before
    AND (:states >> state) & 1
    AND (:queue IS NULL OR queue = :queue)
    AND (:name IS NULL OR name = :name)
ORDER BY id DESC
LIMIT :limit
