-- $1 ids, in order, each once · $2 tokens · $3 states · $4 queues · $5 results · $6 reasons · $7 attempts
-- $8 to $10 kinds, messages and tracebacks of errors · $11 boot id · $12 now. Optional arrays may be empty.
-- Not joined with the arrays: the planner takes the few who execute now for none after a quiet time, and joined a
-- thousand of them with an array by looking at each pair. width_bucket finds an id's place in the array by halving.
WITH ended AS (
    DELETE FROM callboard.running AS running
    WHERE running.id = ANY ($1::uuid[])
        AND running.boot_id = $11::uuid
        AND running.claim_token = ($2::bigint[])[width_bucket(running.id, $1)]
        /*same store*/
    RETURNING
        running.id, running.claim_token, running.boot_id, running.started_at, running.attempt, running.crashes,
        running.reason AS asked, running.progress, width_bucket(running.id, $1) AS place
),
given AS (
    SELECT
        ended.*,
        ($3::smallint[])[place] AS state,
        ($4::text[])[place] AS queue,
        ($6::text[])[place] AS reason,
        ($8::text[])[place] AS kind
    FROM ended
),
kept AS (
    INSERT INTO callboard.done
        (id, finished_at, claim_token, boot_id, started_at, attempt, crashes, state, reason, progress, result)
    SELECT
        id, $12::bigint, claim_token, boot_id, started_at, attempt, crashes, state,
        -- 6 is cancelled: without a reason of its own it keeps the one that cancel gave
        CASE WHEN reason IS NULL AND state = 6 THEN asked ELSE reason END,
        progress, ($5::bytea[])[place]
    FROM given
),
failed AS (
    INSERT INTO callboard.failures (job_id, claim_token, boot_id, failed_at, attempt, kind, message, traceback)
    SELECT
        id, claim_token, boot_id, $12, ($7::integer[])[place], kind, ($9::text[])[place], ($10::text[])[place]
    FROM given
    WHERE kind IS NOT NULL
    ON CONFLICT DO NOTHING
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, 3, -count(*) FROM given GROUP BY queue
    UNION ALL
    SELECT queue, state, count(*) FROM given GROUP BY queue, state
)
SELECT id, claim_token
FROM ended
