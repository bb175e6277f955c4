-- Messages of all streams, written in the transaction of the change they tell of, and how far they are published.
CREATE TABLE outbox_rows (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  stream    TEXT NOT NULL,                    -- whose topic it goes to
  key       TEXT NOT NULL,                    -- what it is about, within the stream
  sequence  INTEGER NOT NULL,                 -- counts the messages of the key
  region_id TEXT NOT NULL,                    -- partitions the topic
  inboxes   TEXT NOT NULL,                    -- names, separated by blanks
  payload   TEXT NOT NULL,                    -- a JSON object
  position  INTEGER UNIQUE,                   -- order of publication over all streams, without gaps
  UNIQUE (stream, key, sequence)
) STRICT;
-- Whoever follows one stream of one region reads no other rows.
CREATE INDEX outbox_by_stream_and_region ON outbox_rows (stream, region_id, position);

CREATE TABLE outbox_relay (
  id                 INTEGER PRIMARY KEY CHECK (id = 1),
  published_position INTEGER NOT NULL
) STRICT;
INSERT INTO outbox_relay (id, published_position) VALUES (1, 0);
