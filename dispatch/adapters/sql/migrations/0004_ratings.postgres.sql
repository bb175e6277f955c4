-- The stars that each driver was ever given, and how often; the single ratings are in the rides and the outbox.
ALTER TABLE shifts ADD COLUMN stars_sum BIGINT NOT NULL DEFAULT 0;
ALTER TABLE shifts ADD COLUMN stars_count BIGINT NOT NULL DEFAULT 0;
