UPDATE nodes
SET seen_at = ?, report = ?
WHERE boot_id = ?
