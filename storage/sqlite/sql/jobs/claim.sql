UPDATE jobs
SET
    state = 3,
    claim_token = claim_token + 1,
    attempt = attempt + 1,
    boot_id = ?,
    lease_until = ?,
    started_at = ?
WHERE id IN (/*each*/ ? /*end*/)
