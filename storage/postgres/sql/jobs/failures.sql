SELECT claim_token, attempt, boot_id, failed_at, kind, message, traceback
FROM callboard.failures
WHERE job_id = $1::uuid
ORDER BY claim_token
