-- From one boot id that holds leases to the next, so that only what has expired is read.
WITH RECURSIVE holders (boot_id) AS (
    SELECT min(boot_id) FROM jobs WHERE lease_until IS NOT NULL
    UNION ALL
    SELECT (SELECT min(jobs.boot_id) FROM jobs WHERE lease_until IS NOT NULL AND jobs.boot_id > holders.boot_id)
    FROM holders
    WHERE holders.boot_id IS NOT NULL
)
SELECT jobs.id, jobs.queue, jobs.claim_token, jobs.attempt, jobs.boot_id, jobs.crashes, jobs.cancel_requested
FROM holders
CROSS JOIN jobs
WHERE jobs.boot_id = holders.boot_id
    AND jobs.lease_until IS NOT NULL
    AND jobs.lease_until <= ?
ORDER BY jobs.lease_until
LIMIT ?
