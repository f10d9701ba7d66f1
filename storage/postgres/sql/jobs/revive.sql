-- $1 ids, in order · $2 now. A row per job that is available now or that executes, with its former state.
WITH available AS (
    -- It keeps its place in the line.
    UPDATE callboard.ready AS ready
    SET attempt = 0, crashes = 0, boot_id = NULL, started_at = NULL, progress = NULL
    FROM callboard.jobs AS jobs
    WHERE jobs.id = ANY ($1::uuid[])
        AND ready.queue = jobs.queue
        AND ready.priority = jobs.priority
        AND ready.vtime = jobs.vtime
        AND ready.id = jobs.id
    RETURNING ready.id
),
due AS (
    DELETE FROM callboard.due AS due
    USING callboard.jobs AS jobs
    WHERE jobs.id = ANY ($1)
        AND due.queue = jobs.queue
        AND due.run_at = jobs.run_at
        AND due.id = jobs.id
    RETURNING due.id, due.state, due.claim_token
),
done AS (
    DELETE FROM callboard.done AS done
    WHERE done.id = ANY ($1)
    RETURNING done.id, done.state, done.claim_token
),
taken AS (
    SELECT * FROM due
    UNION ALL
    SELECT * FROM done
),
moved AS (
    UPDATE callboard.jobs AS jobs
    SET run_at = $2::bigint, vtime = $2
    FROM taken
    WHERE jobs.id = taken.id
    RETURNING jobs.id, jobs.queue, jobs.priority, taken.state, taken.claim_token
),
placed AS (
    INSERT INTO callboard.ready (queue, priority, vtime, id, claim_token)
    SELECT queue, priority, $2, id, claim_token
    FROM moved
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, state, -count(*) FROM moved GROUP BY queue, state
    UNION ALL
    SELECT queue, 0, count(*) FROM moved GROUP BY queue
)
SELECT id, 0::smallint AS state FROM available
UNION ALL
SELECT id, state FROM taken
UNION ALL
SELECT running.id, 3 FROM callboard.running AS running WHERE running.id = ANY ($1)
