-- retry, snooze and hand_back
-- $1 ids, in order, each once · $2 tokens · $3 states · $4 queues · $5 run_at, NULL: as it is · $6 attempts
-- $7 to $9 kinds, messages and tracebacks of errors · $10 boot id · $11 now · $12 attempts restored
-- Not joined with the arrays: see finish.sql.
WITH freed AS (
    DELETE FROM callboard.running AS running
    WHERE running.id = ANY ($1::uuid[])
        AND running.boot_id = $10::uuid
        AND running.claim_token = ($2::bigint[])[width_bucket(running.id, $1)]
        /*same store*/
    RETURNING running.*, width_bucket(running.id, $1) AS place
),
placed AS MATERIALIZED (
    SELECT
        freed.id, freed.claim_token, freed.boot_id, freed.started_at, freed.attempt - $12::integer AS attempt,
        freed.crashes, freed.reason, freed.progress, freed.place, jobs.priority, jobs.vtime,
        -- a job whose cancellation was requested does not return to the line
        CASE WHEN freed.cancel_requested THEN 6::smallint ELSE ($3::smallint[])[freed.place] END AS state,
        ($4::text[])[freed.place] AS queue,
        ($5::bigint[])[freed.place] AS run_at,
        ($7::text[])[freed.place] AS kind
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
    SELECT
        id, claim_token, boot_id, $11, ($6::integer[])[place], kind, ($8::text[])[place], ($9::text[])[place]
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
