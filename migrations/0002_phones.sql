-- Phones in more detail: from where an extension may register, and what tells a phone and the ways to it apart.
-- `allowed_networks` and `path` are lists in JSON.

ALTER TABLE extensions ADD COLUMN allowed_networks TEXT NOT NULL DEFAULT '[]';

ALTER TABLE registrations ADD COLUMN registered_at_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE registrations ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE registrations ADD COLUMN reg_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE registrations ADD COLUMN path TEXT NOT NULL DEFAULT '[]';
ALTER TABLE registrations ADD COLUMN gruu_key TEXT NOT NULL DEFAULT '';
