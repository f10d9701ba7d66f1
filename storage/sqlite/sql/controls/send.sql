INSERT INTO controls (id, boot_id, asked_at, verb, body)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
