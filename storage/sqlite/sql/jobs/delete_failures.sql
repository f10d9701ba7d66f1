DELETE FROM failures
WHERE job_id IN (/*each*/ ? /*end*/)
