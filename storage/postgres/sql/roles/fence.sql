-- $1 name · $2 holder · $3 number. Answers which store this is, and whether that very term runs.
-- The row stays locked until the transaction ends: against the next grant, which needs FOR UPDATE, and not against a
-- renewal, which changes no key.
WITH term AS MATERIALIZED (
    SELECT roles.number
    FROM callboard.roles AS roles
    WHERE roles.name = $1::bytea
        AND roles.holder = $2::uuid
        AND roles.number = $3::bigint
        AND roles.lease_until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FOR KEY SHARE
)
SELECT meta.tableoid::text || ':' || meta.value AS store_id, (SELECT count(*) FROM term) = 1 AS runs
FROM callboard.meta AS meta
WHERE meta.name = 'store_id'
