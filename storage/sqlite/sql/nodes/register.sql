INSERT INTO nodes (boot_id, host, pid, version, started_at, seen_at, report)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (boot_id) DO UPDATE SET
    host = excluded.host,
    pid = excluded.pid,
    version = excluded.version,
    started_at = excluded.started_at,
    seen_at = excluded.seen_at,
    report = excluded.report
