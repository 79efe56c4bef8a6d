-- What a phone calls us: the host of the address it registered at.

ALTER TABLE registrations ADD COLUMN host TEXT NOT NULL DEFAULT '';
