-- With a name: the only count that looks at jobs. $1 state codes · $2 queue or NULL · $3 name
SELECT count(*)
FROM callboard.whole
WHERE name = $3::text
    AND state = ANY ($1::smallint[])
    AND ($2::text IS NULL OR queue = $2)
