-- $1 ids
SELECT id, answer
FROM callboard.controls
WHERE id = ANY ($1::uuid[])
    AND answer IS NOT NULL
