-- $1 ids, in order · $2 tokens · $3 progress, may be empty · $4 boot id · $5 lease in milliseconds
-- A lease that somebody is writing at this moment is passed over, so that a beat waits for nobody.
WITH given AS MATERIALIZED (
    SELECT id, claim_token, progress
    FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS given (id, claim_token, progress)
),
held AS MATERIALIZED (
    SELECT running.id
    FROM callboard.running AS running
    WHERE running.id = ANY ($1)
        AND running.boot_id = $4::uuid
    ORDER BY running.id
    FOR UPDATE SKIP LOCKED
)
UPDATE callboard.running AS running
SET
    lease_until = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $5::bigint,
    progress = coalesce(given.progress, running.progress)
FROM given
WHERE running.id = given.id
    AND running.claim_token = given.claim_token
    AND running.boot_id = $4
    /*same store*/
    AND running.id = ANY (ARRAY(SELECT held.id FROM held))
RETURNING running.id, running.cancel_requested
