DELETE FROM callboard.nodes
WHERE boot_id = ANY ($1::uuid[])
