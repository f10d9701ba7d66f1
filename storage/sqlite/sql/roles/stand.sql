SELECT holder, number, lease_until
FROM roles
WHERE name = ?
