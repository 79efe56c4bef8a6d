-- How TLS is spoken with a trunk, private key included: JSON, encrypted with the key in the data folder. NULL: as usual.

ALTER TABLE trunks ADD COLUMN tls TEXT;
