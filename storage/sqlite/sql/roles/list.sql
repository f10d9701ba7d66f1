SELECT name, holder, number, lease_until
FROM roles
ORDER BY name
