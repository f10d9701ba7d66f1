-- $1 ids, each once · $2 bodies
UPDATE callboard.controls AS controls
SET answer = given.answer
FROM unnest($1::uuid[], $2::bytea[]) AS given (id, answer)
WHERE controls.id = given.id
    AND controls.answer IS NULL
