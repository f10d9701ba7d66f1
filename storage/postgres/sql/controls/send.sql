-- $1 ids · $2 boot ids · $3 asked_at · $4 verbs · $5 bodies
INSERT INTO callboard.controls (id, boot_id, asked_at, verb, body)
SELECT id, boot_id, asked_at, verb, body
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[])
    AS asked (id, boot_id, asked_at, verb, body)
ORDER BY id
ON CONFLICT (id) DO NOTHING
