-- All leases of a node as one text: one step, whatever their number, while a handler holds the interpreter.
SELECT group_concat(
    '["' || hex(id) || '",' || claim_token || ',"' || hex(queue) || '",' || cancel_requested || ']'
)
FROM jobs
WHERE boot_id = ?
    AND lease_until IS NOT NULL
