-- $1 ids, in order. A row per job that was removed or that executes, with its former state.
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
done AS (
    DELETE FROM callboard.done AS done
    WHERE done.id = ANY ($1)
    RETURNING done.id, done.state
),
taken AS (
    SELECT id, 0::smallint AS state FROM ready
    UNION ALL
    SELECT id, state FROM due
    UNION ALL
    SELECT id, state FROM done
),
removed AS (
    DELETE FROM callboard.jobs AS jobs
    USING taken
    WHERE jobs.id = taken.id
    RETURNING jobs.queue, taken.state
),
forgotten AS (
    DELETE FROM callboard.failures AS failures
    WHERE failures.job_id = ANY (ARRAY(SELECT taken.id FROM taken))
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, state, -count(*) FROM removed GROUP BY queue, state
)
SELECT id, state FROM taken
UNION ALL
SELECT running.id, 3 FROM callboard.running AS running WHERE running.id = ANY ($1)
