UPDATE jobs
SET lease_until = ?, progress = coalesce(beats.column4, progress)
FROM (VALUES /*each*/ (?, ?, ?, ?) /*end*/) AS beats
WHERE jobs.id = beats.column1
    AND jobs.claim_token = beats.column2
    AND jobs.boot_id = beats.column3
    AND jobs.state = 3
