UPDATE callboard.nodes
SET seen_at = $2::bigint, report = $3::bytea
WHERE boot_id = $1::uuid
