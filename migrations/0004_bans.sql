-- Whom the office does not listen to. `extension` is empty where all that comes from the network is meant; `until_ms` is
-- null until somebody lifts it.
CREATE TABLE bans (
    id TEXT NOT NULL PRIMARY KEY,
    network TEXT NOT NULL,
    extension TEXT NOT NULL,
    reason TEXT NOT NULL,
    by_hand SMALLINT NOT NULL,
    times BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    until_ms BIGINT
);
