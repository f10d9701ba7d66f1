UPDATE controls
SET answer = ?
WHERE id = ?
    AND answer IS NULL
