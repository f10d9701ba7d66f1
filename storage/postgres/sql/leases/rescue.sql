-- Leases that had run out when this was asked: it may have waited for a lock that renewals wait for as well.
-- $1 at most so many · $2 the crash that ends a job · $3 now · $4 to $6 kind, message and traceback of the failure
WITH head AS MATERIALIZED (
    SELECT running.ctid
    FROM callboard.running AS running
    WHERE running.lease_until <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint
    ORDER BY running.lease_until
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
),
taken AS (
    DELETE FROM callboard.running AS running
    WHERE running.ctid = ANY (ARRAY(SELECT head.ctid FROM head))
    RETURNING running.*
),
placed AS MATERIALIZED (
    SELECT
        taken.*,
        jobs.queue,
        jobs.priority,
        jobs.vtime,
        CASE
            WHEN taken.cancel_requested THEN 6::smallint
            WHEN taken.crashes + 1 >= $2::bigint THEN 5::smallint
            ELSE 0::smallint
        END AS state
    FROM taken
    JOIN callboard.jobs AS jobs ON jobs.id = taken.id
),
ready AS (
    INSERT INTO callboard.ready (queue, priority, vtime, id, claim_token, attempt, crashes, started_at, progress)
    SELECT queue, priority, vtime, id, claim_token, attempt - 1, crashes + 1, started_at, progress
    FROM placed
    WHERE state = 0
),
kept AS (
    INSERT INTO callboard.done
        (id, finished_at, claim_token, started_at, attempt, crashes, state, reason, progress)
    SELECT
        id, $3::bigint, claim_token, started_at, attempt - 1, crashes + 1, state,
        CASE state WHEN 5 THEN 'poison' ELSE reason END,
        progress
    FROM placed
    WHERE state <> 0
),
failed AS (
    INSERT INTO callboard.failures (job_id, claim_token, boot_id, failed_at, attempt, kind, message, traceback)
    SELECT id, claim_token, boot_id, $3, attempt, $4::text, $5::text, $6::text
    FROM placed
    ON CONFLICT DO NOTHING
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, 3, -count(*) FROM placed GROUP BY queue
    UNION ALL
    SELECT queue, state, count(*) FROM placed GROUP BY queue, state
)
SELECT id, queue, state
FROM placed
ORDER BY lease_until, id
