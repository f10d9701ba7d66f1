-- $1 asked before. Answers how many were removed.
WITH removed AS (
    DELETE FROM callboard.controls AS controls
    WHERE controls.asked_at < $1::bigint
    RETURNING controls.id
)
SELECT count(*)
FROM removed
