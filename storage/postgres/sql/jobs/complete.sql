-- What `finish` does, for jobs of one queue that completed and left nothing but a result: most of what ever ends.
-- $1 ids, in order, each once · $2 tokens · $3 results, may be empty · $4 queue · $5 boot id · $6 now
-- One row: ids and tokens of those that were accepted, or NULL when all were.
WITH ended AS (
    DELETE FROM callboard.running AS running
    WHERE running.id = ANY ($1::uuid[])
        AND running.boot_id = $5::uuid
        -- The place of the id in the array, found by halving: see finish.sql.
        AND running.claim_token = ($2::bigint[])[width_bucket(running.id, $1)]
        /*same store*/
    RETURNING
        running.id, running.claim_token, running.started_at, running.attempt, running.crashes, running.progress
),
kept AS (
    INSERT INTO callboard.done
        (id, finished_at, claim_token, boot_id, started_at, attempt, crashes, state, progress, result)
    SELECT
        id, $6::bigint, claim_token, $5, started_at, attempt, crashes, 4, progress,
        ($3::bytea[])[width_bucket(id, $1)]
    FROM ended
),
counted AS (
    INSERT INTO callboard.counts (queue, state, n)
    SELECT $4::text, side.state, side.sign * moved.n
    FROM (SELECT count(*) AS n FROM ended) AS moved
    CROSS JOIN (VALUES (3::smallint, -1), (4::smallint, 1)) AS side (state, sign)
    WHERE moved.n > 0
)
SELECT
    CASE WHEN count(*) < cardinality($1) THEN coalesce(array_agg(id), '{}') END AS ids,
    CASE WHEN count(*) < cardinality($1) THEN coalesce(array_agg(claim_token), '{}') END AS claim_tokens
FROM ended
