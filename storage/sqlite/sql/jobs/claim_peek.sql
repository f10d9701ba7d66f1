-- Everything a claim must know, in one row: it is one step, and each step of a statement gives up the interpreter.
SELECT
    (SELECT is_paused FROM queues WHERE name = :queue),
    (SELECT run_at FROM jobs WHERE queue = :queue AND state IN (1, 2) ORDER BY run_at LIMIT 1),
    (
        SELECT group_concat(hex(id), '')
        FROM (SELECT id FROM jobs WHERE queue = :queue AND state = 0 ORDER BY priority, vtime, id LIMIT :limit)
    )
