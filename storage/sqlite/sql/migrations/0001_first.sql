-- min_code: 1
-- One table for jobs: without old row versions to clean up, splitting it would only add trees. Wide columns stand last,
-- so that reading the narrow ones does not walk through them.
CREATE TABLE jobs (
    id BLOB NOT NULL PRIMARY KEY,
    queue TEXT NOT NULL,
    name TEXT NOT NULL,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    vtime INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    inserted_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    claim_token INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    timeout_ms INTEGER,
    boot_id BLOB,
    lease_until INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    progress BLOB,
    payload BLOB NOT NULL,
    result BLOB
) WITHOUT ROWID;

CREATE INDEX jobs_ready ON jobs (queue, priority, vtime, id) WHERE state = 0;

CREATE INDEX jobs_due ON jobs (queue, run_at) WHERE state IN (1, 2);

-- Not WHERE state = 3: the planner would then take this index for the fence's own "state = 3".
CREATE INDEX jobs_lease ON jobs (boot_id, lease_until) WHERE lease_until IS NOT NULL;

CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE failures (
    job_id BLOB NOT NULL,
    claim_token INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    boot_id BLOB NOT NULL,
    failed_at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    traceback TEXT NOT NULL,
    PRIMARY KEY (job_id, claim_token)
) WITHOUT ROWID;

CREATE TABLE queues (
    name TEXT NOT NULL PRIMARY KEY,
    is_paused INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE counts (
    queue TEXT NOT NULL,
    state INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (queue, state)
) WITHOUT ROWID;

CREATE TABLE nodes (
    boot_id BLOB NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    report BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('store_id', randomblob(16)), ('machine_boot', '');
