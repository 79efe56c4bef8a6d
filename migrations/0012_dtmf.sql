-- How keys are told: auto, rfc4733, info or inband.

ALTER TABLE extensions ADD COLUMN dtmf TEXT NOT NULL DEFAULT 'auto';
ALTER TABLE trunks ADD COLUMN dtmf TEXT NOT NULL DEFAULT 'auto';
