-- retry, snooze and hand_back
-- $1 ids, in order · $2 tokens · $3 states · $4 queues · $5 run_at, NULL: as it is · $6 attempts
-- $7 to $9 kinds, messages and tracebacks of errors · $10 boot id · $11 now · $12 attempts restored
WITH freed AS (
    DELETE FROM callboard.running AS running
    USING unnest(
        $1::uuid[], $2::bigint[], $3::smallint[], $4::text[], $5::bigint[], $6::integer[], $7::text[], $8::text[],
        $9::text[]
    ) AS given (id, claim_token, state, queue, run_at, attempt, kind, message, traceback)
    WHERE running.id = given.id
        AND running.claim_token = given.claim_token
        AND running.boot_id = $10::uuid
        /*same store*/
    RETURNING
        running.id, running.claim_token, running.boot_id, running.started_at, running.attempt - $12::integer AS attempt,
        running.crashes, running.reason, running.progress, given.queue, given.run_at,
        given.attempt AS failed_attempt, given.kind, given.message, given.traceback,
        -- a job whose cancellation was requested does not return to the line
        CASE WHEN running.cancel_requested THEN 6::smallint ELSE given.state END AS state
),
placed AS MATERIALIZED (
    SELECT freed.*, jobs.priority, jobs.vtime
    FROM freed
    JOIN callboard.jobs AS jobs ON jobs.id = freed.id
),
ready AS (
    INSERT INTO callboard.ready
        (queue, priority, vtime, id, claim_token, attempt, crashes, boot_id, started_at, progress)
    SELECT queue, priority, vtime, id, claim_token, attempt, crashes, boot_id, started_at, progress
    FROM placed
    WHERE state = 0
),
due AS (
    INSERT INTO callboard.due
        (queue, run_at, id, state, priority, claim_token, attempt, crashes, boot_id, started_at, progress)
    SELECT queue, run_at, id, state, priority, claim_token, attempt, crashes, boot_id, started_at, progress
    FROM placed
    WHERE state IN (1, 2)
),
moved AS (
    UPDATE callboard.jobs AS jobs
    SET run_at = placed.run_at
    FROM placed
    WHERE jobs.id = placed.id
        AND placed.state IN (1, 2)
        AND jobs.run_at <> placed.run_at
),
kept AS (
    INSERT INTO callboard.done
        (id, finished_at, claim_token, boot_id, started_at, attempt, crashes, state, reason, progress)
    SELECT id, $11::bigint, claim_token, boot_id, started_at, attempt, crashes, state, reason, progress
    FROM placed
    WHERE state = 6
),
failed AS (
    INSERT INTO callboard.failures (job_id, claim_token, boot_id, failed_at, attempt, kind, message, traceback)
    SELECT id, claim_token, boot_id, $11, failed_attempt, kind, message, traceback
    FROM placed
    WHERE kind IS NOT NULL
    ON CONFLICT DO NOTHING
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, 3, -count(*) FROM placed GROUP BY queue
    UNION ALL
    SELECT queue, state, count(*) FROM placed GROUP BY queue, state
)
SELECT id, claim_token
FROM placed
