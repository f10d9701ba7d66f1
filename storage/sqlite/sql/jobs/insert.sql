INSERT INTO jobs (id, queue, name, state, priority, vtime, run_at, inserted_at, timeout_ms, payload)
VALUES /*each*/ (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) /*end*/
ON CONFLICT DO NOTHING
