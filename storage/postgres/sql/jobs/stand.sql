SELECT id, state, claim_token, boot_id
FROM callboard.whole
WHERE id = ANY ($1::uuid[])
