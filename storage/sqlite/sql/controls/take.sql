SELECT id, boot_id, verb, body, asked_at
FROM controls
WHERE boot_id = ?
    AND answer IS NULL
ORDER BY asked_at, id
LIMIT ?
