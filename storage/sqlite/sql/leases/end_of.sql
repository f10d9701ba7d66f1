-- The leases of one boot id whose process is known to have ended.
UPDATE jobs
SET lease_until = 0
WHERE boot_id = ?
    AND lease_until IS NOT NULL
