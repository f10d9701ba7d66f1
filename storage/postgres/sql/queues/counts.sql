SELECT state, sum(n)::bigint
FROM callboard.counts
WHERE $1::text IS NULL OR queue = $1
GROUP BY state
