-- $1 names, each once · $2 holder · $3 lease in milliseconds
-- Answers which store this is, and each role that somebody holds, those that were granted now among them. One that the
-- answer lacks is free but being written at this moment, as by a write with its last term as the fence: ask again.
-- FOR UPDATE, since a fence holds its role FOR KEY SHARE until it commits, and nothing weaker would mind that.
WITH free AS MATERIALIZED (
    SELECT roles.name
    FROM callboard.roles AS roles
    WHERE roles.name = ANY ($1::bytea[])
        AND roles.lease_until <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint
        /*same store*/
    ORDER BY roles.name
    FOR UPDATE SKIP LOCKED
),
granted AS (
    UPDATE callboard.roles AS roles
    SET
        holder = $2::uuid,
        number = roles.number + 1,
        lease_until = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3::bigint
    WHERE roles.name = ANY (ARRAY(SELECT free.name FROM free))
    RETURNING roles.name, roles.holder, roles.number
),
first AS (
    INSERT INTO callboard.roles (name, holder, number, lease_until)
    SELECT asked.name, $2, 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3
    FROM unnest($1) AS asked (name)
    WHERE NOT EXISTS (SELECT FROM callboard.roles AS roles WHERE roles.name = asked.name)
        /*same store*/
    ORDER BY asked.name
    ON CONFLICT (name) DO NOTHING
    RETURNING name, holder, number
),
stood AS (
    SELECT
        roles.name,
        roles.holder,
        roles.number,
        roles.lease_until - (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS left_ms
    FROM callboard.roles AS roles
    WHERE roles.name = ANY ($1)
),
held AS (
    SELECT name, holder, number, $3 AS left_ms FROM granted
    UNION ALL
    SELECT name, holder, number, $3 FROM first
    UNION ALL
    SELECT name, holder, number, left_ms FROM stood WHERE left_ms > 0
)
SELECT meta.tableoid::text || ':' || meta.value AS store_id, held.name, held.holder, held.number, held.left_ms
FROM callboard.meta AS meta
LEFT JOIN held ON true
WHERE meta.name = 'store_id'
