-- min_code: 1
-- Roles keep their last term for ever, so that its number goes on growing. Names are kept as bytes: any text is one.
CREATE TABLE roles (
    name BLOB NOT NULL PRIMARY KEY,
    holder BLOB NOT NULL,
    number INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE controls (
    id BLOB NOT NULL PRIMARY KEY,
    boot_id BLOB NOT NULL,
    asked_at INTEGER NOT NULL,
    verb BLOB NOT NULL,
    body BLOB NOT NULL,
    answer BLOB
) WITHOUT ROWID;

CREATE INDEX controls_waiting ON controls (boot_id, asked_at, id) WHERE answer IS NULL;

CREATE INDEX controls_asked ON controls (asked_at);
