-- With a name: the only count that looks at jobs.
SELECT count(*)
FROM jobs
WHERE name = :name
    AND (:states >> state) & 1
    AND (:queue IS NULL OR queue = :queue)
