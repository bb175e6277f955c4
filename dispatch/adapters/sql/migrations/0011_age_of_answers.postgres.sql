-- Kept answers are deleted after a while, by the wall clock; those from before are of now.
ALTER TABLE idempotency ADD COLUMN added_s DOUBLE PRECISION NOT NULL DEFAULT 0;
UPDATE idempotency SET added_s = EXTRACT(EPOCH FROM now());
CREATE INDEX idempotency_by_age ON idempotency (added_s);
