-- $1 ids, in order, each once · $2 tokens · $3 progress, may be empty · $4 boot id · $5 lease in milliseconds
-- For those that renew.sql passed over: waits for whoever writes them.
-- Not joined with the arrays: see jobs/finish.sql.
WITH held AS MATERIALIZED (
    SELECT running.id
    FROM callboard.running AS running
    WHERE running.id = ANY ($1::uuid[])
        AND running.boot_id = $4::uuid
    ORDER BY running.id
    FOR UPDATE
)
UPDATE callboard.running AS running
SET
    lease_until = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $5::bigint,
    progress = coalesce(($3::bytea[])[width_bucket(running.id, $1)], running.progress)
WHERE running.id = ANY (ARRAY(SELECT held.id FROM held))
    AND running.claim_token = ($2::bigint[])[width_bucket(running.id, $1)]
    AND running.boot_id = $4
    /*same store*/
RETURNING running.id, running.cancel_requested
