SELECT boot_id, host, pid, version, started_at, report, seen_at
FROM callboard.nodes
ORDER BY started_at, boot_id
