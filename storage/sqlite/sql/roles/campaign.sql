-- A role that somebody holds is left as it stands.
INSERT INTO roles (name, holder, number, lease_until)
VALUES (:name, :holder, 1, :now + :lease_ms)
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder,
    number = roles.number + 1,
    lease_until = excluded.lease_until
WHERE roles.lease_until <= :now
