-- The machine was started anew: its monotonic clock began again, and no holder of a term lives. Numbers stay.
UPDATE roles
SET lease_until = -1
