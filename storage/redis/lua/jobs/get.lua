-- BATCH: ids
-- Answers the columns of those jobs.
return rows_of(BATCH)
