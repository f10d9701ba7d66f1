-- $1 ids, in order · $2 reason · $3 now. A row per job that was met, with the state in which it was met: a job that is
-- there and has no row was on its way from one table to another. State -1: it executes, and another transaction, which
-- may be its handler's and go on for long, has its row.
WITH ready AS (
    DELETE FROM callboard.ready AS ready
    USING callboard.jobs AS jobs
    WHERE jobs.id = ANY ($1::uuid[])
        AND ready.queue = jobs.queue
        AND ready.priority = jobs.priority
        AND ready.vtime = jobs.vtime
        AND ready.id = jobs.id
    RETURNING ready.*
),
due AS (
    DELETE FROM callboard.due AS due
    USING callboard.jobs AS jobs
    WHERE jobs.id = ANY ($1)
        AND due.queue = jobs.queue
        AND due.run_at = jobs.run_at
        AND due.id = jobs.id
    RETURNING due.*
),
taken AS (
    SELECT queue, 0::smallint AS state, id, claim_token, attempt, crashes, started_at, progress FROM ready
    UNION ALL
    SELECT queue, state, id, claim_token, attempt, crashes, started_at, progress FROM due
),
kept AS (
    INSERT INTO callboard.done
        (id, finished_at, claim_token, started_at, attempt, crashes, state, reason, progress)
    SELECT id, $3::bigint, claim_token, started_at, attempt, crashes, 6, $2::text, progress
    FROM taken
),
held AS MATERIALIZED (
    SELECT running.id
    FROM callboard.running AS running
    WHERE running.id = ANY ($1)
    ORDER BY running.id
    FOR UPDATE SKIP LOCKED
),
marked AS (
    UPDATE callboard.running AS running
    SET cancel_requested = true, reason = $2
    WHERE running.id = ANY (ARRAY(SELECT held.id FROM held))
    RETURNING running.id
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, state, -count(*) FROM taken GROUP BY queue, state
    UNION ALL
    SELECT queue, 6, count(*) FROM taken GROUP BY queue
)
SELECT id, state FROM taken
UNION ALL
SELECT id, 3 FROM marked
UNION ALL
SELECT running.id, -1
FROM callboard.running AS running
WHERE running.id = ANY ($1) AND running.id <> ALL (ARRAY(SELECT held.id FROM held))
UNION ALL
SELECT done.id, done.state FROM callboard.done AS done WHERE done.id = ANY ($1)
