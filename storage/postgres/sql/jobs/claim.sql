-- $1 queues, each once · $2 limits · $3 to $6 vtime to start from, by priority · $7 false: take nothing while something is due
-- $8 wall now · $9 boot id · $10 lease in milliseconds
-- A row per claimed job, in no order, and at least one row per queue. `rows.py` knows the order of the columns.
WITH wanted AS MATERIALIZED (
    SELECT asked.*, coalesce(queues.is_paused, false) AS is_paused, due.run_at AS next_run_at
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS asked (queue, most, floor_0, floor_1, floor_2, floor_3)
    LEFT JOIN callboard.queues AS queues ON queues.name = asked.queue
    LEFT JOIN LATERAL (
        SELECT due.run_at
        FROM callboard.due AS due
        WHERE due.queue = asked.queue
        ORDER BY due.run_at
        LIMIT 1
    ) AS due ON true
),
-- The four lines one after the other: the outer limit stops before a lower priority is looked at.
head AS MATERIALIZED (
    SELECT first.ctid
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT line_0.ctid
        FROM (
            SELECT ready.ctid
            FROM callboard.ready AS ready
            WHERE ready.queue = wanted.queue
                AND ready.priority = 0
                AND ready.vtime >= wanted.floor_0
            ORDER BY ready.vtime, ready.id
            LIMIT wanted.most
            FOR UPDATE SKIP LOCKED
        ) AS line_0
        UNION ALL
        SELECT line_1.ctid
        FROM (
            SELECT ready.ctid
            FROM callboard.ready AS ready
            WHERE ready.queue = wanted.queue
                AND ready.priority = 1
                AND ready.vtime >= wanted.floor_1
            ORDER BY ready.vtime, ready.id
            LIMIT wanted.most
            FOR UPDATE SKIP LOCKED
        ) AS line_1
        UNION ALL
        SELECT line_2.ctid
        FROM (
            SELECT ready.ctid
            FROM callboard.ready AS ready
            WHERE ready.queue = wanted.queue
                AND ready.priority = 2
                AND ready.vtime >= wanted.floor_2
            ORDER BY ready.vtime, ready.id
            LIMIT wanted.most
            FOR UPDATE SKIP LOCKED
        ) AS line_2
        UNION ALL
        SELECT line_3.ctid
        FROM (
            SELECT ready.ctid
            FROM callboard.ready AS ready
            WHERE ready.queue = wanted.queue
                AND ready.priority = 3
                AND ready.vtime >= wanted.floor_3
            ORDER BY ready.vtime, ready.id
            LIMIT wanted.most
            FOR UPDATE SKIP LOCKED
        ) AS line_3
        LIMIT wanted.most
    ) AS first
    WHERE NOT wanted.is_paused
        /*same store*/
        AND (
            $7::boolean
            OR NOT EXISTS (SELECT FROM wanted AS due WHERE due.next_run_at <= $8::bigint AND NOT due.is_paused)
        )
),
-- As an array: for a join the planner would guess at how many rows come, and guess high.
taken AS (
    DELETE FROM callboard.ready AS ready
    WHERE ready.ctid = ANY (ARRAY(SELECT head.ctid FROM head))
    RETURNING
        ready.id, ready.queue, ready.priority, ready.vtime, ready.attempt + 1 AS attempt,
        ready.claim_token + 1 AS claim_token, ready.crashes, ready.progress
),
leased AS (
    INSERT INTO callboard.running
        (id, claim_token, boot_id, lease_until, started_at, attempt, crashes, progress)
    SELECT
        id,
        claim_token,
        $9::uuid,
        -- within a SELECT of its own, so that it is reckoned once and not for each row
        (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $10::bigint),
        $8,
        attempt,
        crashes,
        progress
    FROM taken
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT moved.queue, side.state, side.sign * moved.n
    FROM (SELECT queue, count(*) AS n FROM taken GROUP BY queue) AS moved
    CROSS JOIN (VALUES (0::smallint, -1), (3::smallint, 1)) AS side (state, sign)
)
SELECT
    given.id, given.name, wanted.queue, given.payload, given.priority, given.attempt, given.claim_token, given.crashes,
    given.inserted_at, given.timeout_ms, given.vtime, wanted.is_paused, wanted.next_run_at
FROM wanted
LEFT JOIN (
    SELECT taken.*, jobs.name, jobs.payload, jobs.inserted_at, jobs.timeout_ms
    FROM taken
    JOIN callboard.jobs AS jobs ON jobs.id = taken.id
) AS given ON given.queue = wanted.queue
