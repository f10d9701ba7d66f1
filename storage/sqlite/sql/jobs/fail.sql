INSERT INTO failures (job_id, claim_token, attempt, boot_id, failed_at, kind, message, traceback)
VALUES /*each*/ (?, ?, ?, ?, ?, ?, ?, ?) /*end*/
ON CONFLICT DO NOTHING
