-- The very jobs that promote.sql moves, before it moves them.
SELECT state, count(*)
FROM (SELECT state FROM jobs WHERE queue = ? AND state IN (1, 2) AND run_at <= ? ORDER BY run_at, id LIMIT ?)
GROUP BY state
