SELECT running.id, running.claim_token
FROM callboard.running AS running
WHERE running.boot_id = $1::uuid
ORDER BY running.id
