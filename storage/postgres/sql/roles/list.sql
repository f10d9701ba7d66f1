SELECT
    name,
    holder,
    number,
    lease_until - (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS left_ms
FROM callboard.roles
ORDER BY name
