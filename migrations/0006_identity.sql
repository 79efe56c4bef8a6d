-- What a trunk is believed and may do, what a phone may redirect, and text messages kept for phones that are away.

ALTER TABLE trunks ADD COLUMN trust_identity SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE trunks ADD COLUMN reliable_provisionals TEXT NOT NULL DEFAULT 'supported';
ALTER TABLE extensions ADD COLUMN redirects TEXT NOT NULL DEFAULT 'follow';

-- No reference to extensions: messages are written behind. `id` grows with time; `body` is what the sender wrote, in
-- the character set that `content_type` says.
CREATE TABLE messages (
    id BIGINT NOT NULL PRIMARY KEY,
    extension TEXT NOT NULL,
    sender TEXT NOT NULL,
    sender_name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body BYTEA NOT NULL,
    sent_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
