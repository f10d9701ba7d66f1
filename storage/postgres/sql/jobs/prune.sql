-- $1 ended before · $2 at most so many
WITH head AS MATERIALIZED (
    SELECT done.id
    FROM callboard.done AS done
    WHERE done.finished_at < $1::bigint
    ORDER BY done.finished_at
    LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
),
ended AS (
    DELETE FROM callboard.done AS done
    WHERE done.id = ANY (ARRAY(SELECT head.id FROM head))
    RETURNING done.id, done.state
),
removed AS (
    DELETE FROM callboard.jobs AS jobs
    USING ended
    WHERE jobs.id = ended.id
    RETURNING jobs.queue, ended.state
),
forgotten AS (
    DELETE FROM callboard.failures AS failures
    WHERE failures.job_id = ANY (ARRAY(SELECT ended.id FROM ended))
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, state, -count(*) FROM removed GROUP BY queue, state
)
SELECT count(*)
FROM ended
