DELETE FROM jobs
WHERE id IN (/*each*/ ? /*end*/)
    AND state <> 3
