DELETE FROM controls
WHERE asked_at < ?
