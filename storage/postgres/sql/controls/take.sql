-- $1 boot id · $2 at most so many
SELECT id, boot_id, verb, body, asked_at
FROM callboard.controls
WHERE boot_id = $1::uuid
    AND answer IS NULL
ORDER BY asked_at, id
LIMIT $2::bigint
