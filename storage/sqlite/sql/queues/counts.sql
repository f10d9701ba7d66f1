SELECT state, sum(n)
FROM counts
WHERE :queue IS NULL OR queue = :queue
GROUP BY state
