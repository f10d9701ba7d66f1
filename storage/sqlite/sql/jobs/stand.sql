SELECT queue, state, claim_token, boot_id
FROM jobs
WHERE id = ?
