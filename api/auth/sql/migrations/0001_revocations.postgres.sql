-- lives with: 0
-- Tokens that count no more although they have not expired, kept until they have. Times are wall seconds.
CREATE TABLE revocations (
  name      TEXT PRIMARY KEY,
  revoked_s DOUBLE PRECISION NOT NULL,
  until_s   DOUBLE PRECISION NOT NULL,
  by_whom   TEXT NOT NULL,
  reason    TEXT NOT NULL,
  token_id  TEXT,
  role      TEXT,
  subject   TEXT
);
CREATE INDEX revocations_by_end ON revocations (until_s);
