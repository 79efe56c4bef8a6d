-- The office: extensions, trunks, where phones are, what calls were, who may use the API.
-- One text for SQLite and PostgreSQL: flags are SMALLINT 0/1, times BIGINT Unix milliseconds, structures JSON in TEXT.

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE extensions (
    number TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    ha1_md5 TEXT NOT NULL,
    ha1_sha256 TEXT NOT NULL,
    codecs TEXT NOT NULL,
    max_contacts BIGINT NOT NULL,
    allow_weak_password SMALLINT NOT NULL
);

-- `position` is the order of creation; `password` is encrypted with the key in the data folder.
CREATE TABLE trunks (
    name TEXT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL,
    host TEXT NOT NULL,
    port BIGINT,
    transport TEXT NOT NULL,
    auth TEXT NOT NULL,
    username TEXT,
    password TEXT,
    codecs TEXT NOT NULL,
    numbers TEXT NOT NULL,
    match_port SMALLINT NOT NULL
);

-- No reference to extensions: registrations are written behind and may arrive after their extension is gone.
CREATE TABLE registrations (
    extension TEXT NOT NULL,
    binding TEXT NOT NULL,
    contact TEXT NOT NULL,
    source TEXT NOT NULL,
    local TEXT NOT NULL,
    transport TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    call_id TEXT NOT NULL,
    cseq BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    PRIMARY KEY (extension, binding)
);

CREATE TABLE call_records (
    id TEXT NOT NULL PRIMARY KEY,
    started_at_ms BIGINT NOT NULL,
    answered_at_ms BIGINT,
    ended_at_ms BIGINT NOT NULL,
    direction TEXT NOT NULL,
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    dialed TEXT NOT NULL,
    cause TEXT NOT NULL,
    sip_code BIGINT NOT NULL,
    ring_ms BIGINT NOT NULL,
    talk_ms BIGINT NOT NULL,
    tags TEXT NOT NULL,
    reason TEXT NOT NULL,
    legs TEXT NOT NULL
);

CREATE INDEX call_records_by_time ON call_records (started_at_ms, id);

-- Only the SHA-256 of a key is kept.
CREATE TABLE api_keys (
    hash TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
);
