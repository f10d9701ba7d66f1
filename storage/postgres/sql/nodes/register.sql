INSERT INTO callboard.nodes (boot_id, host, pid, version, started_at, seen_at, report)
VALUES ($1::uuid, $2::text, $3::bigint, $4::text, $5::bigint, $6::bigint, $7::bytea)
ON CONFLICT (boot_id) DO UPDATE SET
    host = excluded.host,
    pid = excluded.pid,
    version = excluded.version,
    started_at = excluded.started_at,
    seen_at = excluded.seen_at,
    report = excluded.report
