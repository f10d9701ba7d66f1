UPDATE callboard.queues
SET is_paused = false
WHERE name = ANY ($1::text[])
