-- min_code: 1
-- Roles keep their last term for ever, so that its number goes on growing. Names are kept as bytes: any text is one.
CREATE TABLE callboard.roles (
    name bytea NOT NULL PRIMARY KEY,
    holder uuid NOT NULL,
    number bigint NOT NULL,
    lease_until bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE callboard.controls (
    id uuid NOT NULL PRIMARY KEY,
    boot_id uuid NOT NULL,
    asked_at bigint NOT NULL,
    verb bytea NOT NULL,
    body bytea NOT NULL,
    answer bytea
);

CREATE INDEX controls_waiting ON callboard.controls (boot_id, asked_at, id) WHERE answer IS NULL;

CREATE INDEX controls_asked ON callboard.controls (asked_at);
