SELECT id, answer
FROM controls
WHERE answer IS NOT NULL
    AND id IN (/*each*/ ? /*end*/)
