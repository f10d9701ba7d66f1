-- $1 ids, in order · $2 tokens · $3 states · $4 queues · $5 results · $6 reasons · $7 attempts
-- $8 to $10 kinds, messages and tracebacks of errors · $11 boot id · $12 now. Optional arrays may be empty.
WITH ended AS (
    DELETE FROM callboard.running AS running
    USING unnest(
        $1::uuid[], $2::bigint[], $3::smallint[], $4::text[], $5::bytea[], $6::text[], $7::integer[], $8::text[],
        $9::text[], $10::text[]
    ) AS given (id, claim_token, state, queue, result, reason, attempt, kind, message, traceback)
    WHERE running.id = given.id
        AND running.claim_token = given.claim_token
        AND running.boot_id = $11::uuid
        /*same store*/
    RETURNING
        running.id, running.claim_token, running.boot_id, running.started_at, running.attempt, running.crashes,
        running.reason AS asked, running.progress, given.state, given.queue, given.result, given.reason,
        given.attempt AS failed_attempt, given.kind, given.message, given.traceback
),
kept AS (
    INSERT INTO callboard.done
        (id, finished_at, claim_token, boot_id, started_at, attempt, crashes, state, reason, progress, result)
    SELECT
        id, $12::bigint, claim_token, boot_id, started_at, attempt, crashes, state,
        -- 6 is cancelled: without a reason of its own it keeps the one that cancel gave
        CASE WHEN reason IS NULL AND state = 6 THEN asked ELSE reason END,
        progress, result
    FROM ended
),
failed AS (
    INSERT INTO callboard.failures (job_id, claim_token, boot_id, failed_at, attempt, kind, message, traceback)
    SELECT id, claim_token, boot_id, $12, failed_attempt, kind, message, traceback
    FROM ended
    WHERE kind IS NOT NULL
    ON CONFLICT DO NOTHING
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, 3, -count(*) FROM ended GROUP BY queue
    UNION ALL
    SELECT queue, state, count(*) FROM ended GROUP BY queue, state
)
SELECT id, claim_token
FROM ended
