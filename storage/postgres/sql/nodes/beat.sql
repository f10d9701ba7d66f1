-- $1 boot id · $2 now · $3 report. Always one row: of the server, its clock, and the store.
WITH seen AS (
    UPDATE callboard.nodes
    SET seen_at = $2::bigint, report = $3::bytea
    WHERE boot_id = $1::uuid
)
SELECT
    (extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) * 1000)::bigint AS up_ms,
    (extract(epoch FROM clock_timestamp()) * 1000)::double precision AS now_ms,
    (SELECT tableoid::text || ':' || value FROM callboard.meta WHERE name = 'store_id') AS store_id
