-- $1 queue · $2 now · $3 at most so many
WITH head AS MATERIALIZED (
    SELECT due.ctid
    FROM callboard.due AS due
    WHERE due.queue = $1::text
        AND due.run_at <= $2::bigint
        AND NOT EXISTS (SELECT FROM callboard.queues AS queues WHERE queues.name = $1 AND queues.is_paused)
    ORDER BY due.run_at, due.id
    LIMIT $3::bigint
    FOR UPDATE SKIP LOCKED
),
taken AS (
    DELETE FROM callboard.due AS due
    WHERE due.ctid = ANY (ARRAY(SELECT head.ctid FROM head))
    RETURNING due.*
),
ready AS (
    INSERT INTO callboard.ready
        (queue, priority, vtime, id, claim_token, attempt, crashes, boot_id, started_at, progress)
    SELECT queue, priority, run_at, id, claim_token, attempt, crashes, boot_id, started_at, progress
    FROM taken
),
-- Only a job that was put back has another vtime.
kept AS (
    UPDATE callboard.jobs AS jobs
    SET vtime = jobs.run_at
    WHERE jobs.id = ANY (ARRAY(SELECT taken.id FROM taken ORDER BY taken.id))
        AND jobs.vtime <> jobs.run_at
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, state, -count(*) FROM taken GROUP BY queue, state
    UNION ALL
    SELECT queue, 0, count(*) FROM taken GROUP BY queue
)
SELECT count(*)
FROM taken
