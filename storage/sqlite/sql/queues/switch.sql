UPDATE queues
SET is_paused = ?
WHERE name = ?
