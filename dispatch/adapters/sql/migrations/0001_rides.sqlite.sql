-- Rides, offers, shifts, idempotency keys and the outbox.
CREATE TABLE rides (
  ride_id     TEXT PRIMARY KEY,
  region      TEXT NOT NULL,
  rider_id    TEXT NOT NULL,
  quote_id    TEXT NOT NULL UNIQUE,           -- a quote becomes one ride
  state       TEXT NOT NULL CHECK (state IN ('REQUESTED', 'OFFERED', 'ASSIGNED', 'ARRIVED', 'ON_TRIP', 'COMPLETED', 'CANCELLED', 'EXPIRED')),
  driver_id   TEXT,
  sequence    INTEGER NOT NULL,
  token       INTEGER NOT NULL,
  requested_s REAL NOT NULL,
  body        TEXT NOT NULL                   -- the ride as JSON; the columns above are what is searched or constrained
) STRICT;
CREATE UNIQUE INDEX one_live_ride_per_driver ON rides (driver_id) WHERE state IN ('ASSIGNED', 'ARRIVED', 'ON_TRIP');
CREATE INDEX open_rides ON rides (region, requested_s) WHERE state IN ('REQUESTED', 'OFFERED');
CREATE INDEX rides_by_time ON rides (region, requested_s);

CREATE TABLE offers (
  offer_id  TEXT PRIMARY KEY,
  ride_id   TEXT NOT NULL REFERENCES rides (ride_id),
  region    TEXT NOT NULL,
  driver_id TEXT NOT NULL,
  token     INTEGER NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('SENT', 'ACCEPTED', 'DECLINED', 'EXPIRED', 'WITHDRAWN')),
  body      TEXT NOT NULL,
  UNIQUE (ride_id, token)
) STRICT;
CREATE UNIQUE INDEX one_live_offer_per_driver ON offers (driver_id) WHERE state = 'SENT';
CREATE UNIQUE INDEX one_live_offer_per_ride ON offers (ride_id) WHERE state = 'SENT';
CREATE INDEX newest_token ON offers (region, token);
CREATE INDEX newest_token_of_driver ON offers (driver_id, region, token);

CREATE TABLE shifts (
  driver_id TEXT PRIMARY KEY,
  status    TEXT NOT NULL CHECK (status IN ('online', 'offline')),
  seats     INTEGER NOT NULL CHECK (seats > 0),
  changed_s REAL NOT NULL
) STRICT;
CREATE INDEX drivers_on_shift ON shifts (driver_id) WHERE status = 'online';

CREATE TABLE idempotency (
  principal   TEXT NOT NULL,
  key         TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  response    TEXT NOT NULL,                  -- the ride as it was answered
  PRIMARY KEY (principal, key)
) STRICT;

CREATE TABLE outbox (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  region   TEXT NOT NULL,
  ride_id  TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  inboxes  TEXT NOT NULL,                     -- names, separated by blanks
  payload  TEXT NOT NULL,
  position INTEGER UNIQUE,                    -- order of publication, without gaps
  UNIQUE (ride_id, sequence)
) STRICT;

CREATE TABLE relay (
  id                 INTEGER PRIMARY KEY CHECK (id = 1),
  published_position INTEGER NOT NULL
) STRICT;
INSERT INTO relay (id, published_position) VALUES (1, 0);
