-- $1 ids, in order, each once · $2 queues · $3 names · $4 priorities · $5 run_at · $6 timeouts · $7 payloads · $8 now
-- Where it says "told", `wakeups.py` puts the NOTIFY that takes $9 channel · $10 message.
-- An array of one means the same for all, an empty one of timeouts: none. Answers with the ids that are new.
WITH new AS (
    INSERT INTO callboard.jobs (id, queue, name, priority, run_at, vtime, inserted_at, timeout_ms, payload)
    SELECT
        id,
        coalesce(queue, ($2)[1]),
        coalesce(name, ($3)[1]),
        coalesce(priority, ($4)[1]),
        coalesce(run_at, ($5)[1]),
        coalesce(run_at, ($5)[1]),
        $8::bigint,
        timeout_ms,
        payload
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bytea[])
        AS asked (id, queue, name, priority, run_at, timeout_ms, payload)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, queue, priority, run_at
),
ready AS (
    INSERT INTO callboard.ready (queue, priority, vtime, id)
    SELECT queue, priority, run_at, id
    FROM new
    WHERE run_at <= $8
),
due AS (
    INSERT INTO callboard.due (queue, run_at, id, priority, state)
    SELECT queue, run_at, id, priority, 1
    FROM new
    WHERE run_at > $8
),
known AS (
    INSERT INTO callboard.queues (name)
    SELECT DISTINCT queue
    FROM new
    ORDER BY queue
    ON CONFLICT (name) DO NOTHING
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT queue, (run_at > $8)::integer::smallint, count(*)
    FROM new
    GROUP BY 1, 2
)
SELECT id /*told*/
FROM new
