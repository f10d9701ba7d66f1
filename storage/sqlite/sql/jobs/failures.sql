SELECT claim_token, attempt, boot_id, failed_at, kind, message, traceback
FROM failures
WHERE job_id = ?
ORDER BY claim_token
