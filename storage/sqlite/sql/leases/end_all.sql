-- The machine was started anew: its monotonic clock began again, and no holder of a lease lives.
UPDATE jobs
SET lease_until = -1
WHERE lease_until IS NOT NULL
