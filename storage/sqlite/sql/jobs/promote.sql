UPDATE jobs
SET state = 0, vtime = run_at
WHERE id IN (SELECT id FROM jobs WHERE queue = ? AND state IN (1, 2) AND run_at <= ? ORDER BY run_at, id LIMIT ?)
