INSERT INTO counts (queue, state, n)
VALUES /*each*/ (?, ?, ?) /*end*/
ON CONFLICT (queue, state) DO UPDATE SET n = n + excluded.n
