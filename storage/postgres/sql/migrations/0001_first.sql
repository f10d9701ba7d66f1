-- min_code: 1
-- A job is one row of jobs and one row of the table that stands for its state: ready, due, running or done. Who
-- deletes that row owns the job's next transition; so the row of state is locked first, and the row of jobs after it.
-- jobs.run_at and jobs.vtime lead from a job to its row in ready or due; they change only when a job is put back.
CREATE TABLE callboard.jobs (
    id uuid NOT NULL PRIMARY KEY,
    run_at bigint NOT NULL,
    vtime bigint NOT NULL,
    inserted_at bigint NOT NULL,
    timeout_ms bigint,
    priority smallint NOT NULL,
    queue text NOT NULL,
    name text NOT NULL,
    payload bytea NOT NULL
);

CREATE TABLE callboard.ready (
    vtime bigint NOT NULL,
    id uuid NOT NULL,
    claim_token bigint NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    priority smallint NOT NULL,
    queue text NOT NULL,
    boot_id uuid,
    started_at bigint,
    progress bytea,
    PRIMARY KEY (queue, priority, vtime, id)
);

CREATE TABLE callboard.due (
    run_at bigint NOT NULL,
    id uuid NOT NULL,
    claim_token bigint NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    state smallint NOT NULL,
    priority smallint NOT NULL,
    queue text NOT NULL,
    boot_id uuid,
    started_at bigint,
    progress bytea,
    PRIMARY KEY (queue, run_at, id)
);

-- As many rows as jobs execute: small enough to be read whole, and renewed in place, hence the room in its pages.
CREATE TABLE callboard.running (
    id uuid NOT NULL PRIMARY KEY,
    claim_token bigint NOT NULL,
    boot_id uuid NOT NULL,
    lease_until bigint NOT NULL,
    started_at bigint NOT NULL,
    attempt integer NOT NULL,
    crashes integer NOT NULL,
    cancel_requested boolean NOT NULL DEFAULT false,
    reason text,
    progress bytea
) WITH (fillfactor = 50);

CREATE TABLE callboard.done (
    id uuid NOT NULL PRIMARY KEY,
    finished_at bigint NOT NULL,
    claim_token bigint NOT NULL,
    boot_id uuid,
    started_at bigint,
    attempt integer NOT NULL,
    crashes integer NOT NULL,
    state smallint NOT NULL,
    reason text,
    progress bytea,
    result bytea
);

CREATE INDEX done_ended ON callboard.done (finished_at);

CREATE TABLE callboard.failures (
    job_id uuid NOT NULL,
    claim_token bigint NOT NULL,
    boot_id uuid NOT NULL,
    failed_at bigint NOT NULL,
    attempt integer NOT NULL,
    kind text NOT NULL,
    message text NOT NULL,
    traceback text NOT NULL,
    PRIMARY KEY (job_id, claim_token)
);

CREATE TABLE callboard.queues (
    name text NOT NULL PRIMARY KEY,
    is_paused boolean NOT NULL DEFAULT false
);

-- Every transition appends what it changed, so that no two of them meet on one row; `upkeep/fold` adds the rows up.
CREATE TABLE callboard.counts (
    queue text NOT NULL,
    state smallint NOT NULL,
    n bigint NOT NULL
);

CREATE TABLE callboard.nodes (
    boot_id uuid NOT NULL PRIMARY KEY,
    host text NOT NULL,
    pid bigint NOT NULL,
    version text NOT NULL,
    started_at bigint NOT NULL,
    seen_at bigint NOT NULL,
    report bytea NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE callboard.meta (
    name text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

INSERT INTO callboard.meta (name, value) VALUES ('store_id', gen_random_uuid()::text);

-- Jobs whole, as they are read. 0 available, 1 scheduled, 2 retryable, 3 executing; done keeps the terminal states.
CREATE VIEW callboard.whole AS
SELECT
    jobs.id,
    jobs.queue,
    jobs.name,
    CASE
        WHEN ready.id IS NOT NULL THEN 0::smallint
        WHEN running.id IS NOT NULL THEN 3::smallint
        ELSE coalesce(due.state, done.state)
    END AS state,
    jobs.priority,
    jobs.vtime,
    jobs.run_at,
    jobs.inserted_at,
    coalesce(ready.attempt, due.attempt, running.attempt, done.attempt) AS attempt,
    coalesce(ready.claim_token, due.claim_token, running.claim_token, done.claim_token) AS claim_token,
    coalesce(ready.crashes, due.crashes, running.crashes, done.crashes) AS crashes,
    jobs.payload,
    jobs.timeout_ms,
    coalesce(ready.boot_id, due.boot_id, running.boot_id, done.boot_id) AS boot_id,
    running.lease_until,
    coalesce(ready.started_at, due.started_at, running.started_at, done.started_at) AS started_at,
    done.finished_at,
    coalesce(running.cancel_requested, false) AS cancel_requested,
    done.result,
    coalesce(running.reason, done.reason) AS reason,
    coalesce(ready.progress, due.progress, running.progress, done.progress) AS progress
FROM callboard.jobs AS jobs
LEFT JOIN callboard.ready AS ready
    ON ready.queue = jobs.queue
    AND ready.priority = jobs.priority
    AND ready.vtime = jobs.vtime
    AND ready.id = jobs.id
LEFT JOIN callboard.due AS due
    ON due.queue = jobs.queue
    AND due.run_at = jobs.run_at
    AND due.id = jobs.id
LEFT JOIN callboard.running AS running ON running.id = jobs.id
LEFT JOIN callboard.done AS done ON done.id = jobs.id;
