//! The spool: call records on their way to the database, as JSON lines in a file.
