UPDATE roles
SET lease_until = :lease_until
WHERE name = :name
    AND holder = :holder
    AND number = :number
    AND lease_until > :now
