-- The journey of a call: its segments as JSON, and the calls it met.

ALTER TABLE call_records ADD COLUMN segments TEXT NOT NULL DEFAULT '[]';
ALTER TABLE call_records ADD COLUMN merged_into TEXT;
ALTER TABLE call_records ADD COLUMN continues TEXT NOT NULL DEFAULT '[]';
