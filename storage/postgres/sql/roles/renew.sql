-- $1 names · $2 holders · $3 numbers · $4 lease in milliseconds
-- Answers which store this is, and the terms that were renewed. No key of the row changes, so it waits for no fence.
WITH written AS (
    UPDATE callboard.roles AS roles
    SET lease_until = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $4::bigint
    FROM unnest($1::bytea[], $2::uuid[], $3::bigint[]) AS asked (name, holder, number)
    WHERE roles.name = asked.name
        AND roles.holder = asked.holder
        AND roles.number = asked.number
        AND roles.lease_until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint
        /*same store*/
    RETURNING roles.name, roles.holder, roles.number
)
SELECT meta.tableoid::text || ':' || meta.value AS store_id, written.name, written.holder, written.number
FROM callboard.meta AS meta
LEFT JOIN written ON true
WHERE meta.name = 'store_id'
