-- All rows as two values, for the same reason as in claim_peek: the bytes one after the other, and the numbers with the
-- lengths that cut them apart.
SELECT
    CAST(group_concat(id || CAST(name AS BLOB) || payload, '') AS BLOB),
    group_concat(
        printf(
            '[%d,%d,%d,%d,%d,%d,%d,%d]',
            priority, attempt, claim_token, crashes, inserted_at, coalesce(timeout_ms, -1),
            length(CAST(name AS BLOB)), length(payload)
        )
    )
FROM jobs
WHERE id IN (/*each*/ ? /*end*/)
