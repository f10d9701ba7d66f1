DELETE FROM nodes
WHERE boot_id = ?
