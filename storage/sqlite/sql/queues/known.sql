INSERT INTO queues (name)
VALUES /*each*/ (?) /*end*/
ON CONFLICT DO NOTHING
