-- Who watches whom over restarts, how many messages wait for whom, and what an extension's phones are told unasked.

ALTER TABLE extensions ADD COLUMN push_message_summary SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE extensions ADD COLUMN watch_list TEXT NOT NULL DEFAULT '[]';

-- No reference to extensions: subscriptions are written behind. `state` is the subscription as JSON.
CREATE TABLE subscriptions (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at_ms BIGINT NOT NULL,
    state TEXT NOT NULL
);

CREATE TABLE message_summaries (
    extension TEXT NOT NULL PRIMARY KEY,
    new_messages BIGINT NOT NULL,
    old_messages BIGINT NOT NULL,
    urgent_new BIGINT NOT NULL,
    urgent_old BIGINT NOT NULL
);
