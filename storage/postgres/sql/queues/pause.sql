INSERT INTO callboard.queues (name, is_paused)
SELECT DISTINCT name, true
FROM unnest($1::text[]) AS given (name)
ORDER BY name
ON CONFLICT (name) DO UPDATE SET is_paused = true
