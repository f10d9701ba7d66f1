SELECT queues.name, queues.is_paused, counts.state, counts.n
FROM queues
LEFT JOIN counts ON counts.queue = queues.name
ORDER BY queues.name
