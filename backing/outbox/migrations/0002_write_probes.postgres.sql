-- Rows that are written and deleted in one transaction, to learn whether the database takes writes.
CREATE TABLE write_probes (
  id TEXT PRIMARY KEY
);
