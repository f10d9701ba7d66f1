-- $1 ids
-- One by one, so that the plan is the same for any number of jobs and any size of tables: the planner takes no account of
-- what stands within a SELECT, finds a plan made once as good as one made anew, and spares itself the making, which is
-- most of the work.
SELECT
    id, queue, name, state, priority, vtime, run_at, inserted_at, attempt, claim_token, crashes, payload, timeout_ms,
    boot_id, lease_until, started_at, finished_at, cancel_requested, result, reason, progress
FROM unnest((SELECT $1::uuid[])) AS asked (job_id)
CROSS JOIN LATERAL (
    SELECT *
    FROM callboard.whole AS whole
    WHERE whole.id = asked.job_id
    LIMIT 1
) AS found
