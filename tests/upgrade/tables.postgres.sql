-- The tables as version 0.1.0 before the packages made them: migrations 0001 to 0005 of dispatch, and the record of prices.
CREATE TABLE schema_version (version BIGINT PRIMARY KEY);
CREATE TABLE rides (
  ride_id     TEXT PRIMARY KEY,
  region      TEXT NOT NULL,
  rider_id    TEXT NOT NULL,
  quote_id    TEXT NOT NULL UNIQUE,
  state       TEXT NOT NULL CHECK (state IN ('REQUESTED', 'OFFERED', 'ASSIGNED', 'ARRIVED', 'ON_TRIP', 'COMPLETED', 'CANCELLED', 'EXPIRED')),
  driver_id   TEXT,
  sequence    BIGINT NOT NULL,
  token       BIGINT NOT NULL,
  requested_s DOUBLE PRECISION NOT NULL,
  body        TEXT NOT NULL
);
CREATE UNIQUE INDEX one_live_ride_per_driver ON rides (driver_id) WHERE state IN ('ASSIGNED', 'ARRIVED', 'ON_TRIP');
CREATE INDEX open_rides ON rides (region, requested_s) WHERE state IN ('REQUESTED', 'OFFERED');
CREATE INDEX rides_by_time ON rides (region, requested_s);
CREATE TABLE offers (
  offer_id  TEXT PRIMARY KEY,
  ride_id   TEXT NOT NULL REFERENCES rides (ride_id),
  region    TEXT NOT NULL,
  driver_id TEXT NOT NULL,
  token     BIGINT NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('SENT', 'ACCEPTED', 'DECLINED', 'EXPIRED', 'WITHDRAWN')),
  body      TEXT NOT NULL,
  UNIQUE (ride_id, token)
);
CREATE UNIQUE INDEX one_live_offer_per_driver ON offers (driver_id) WHERE state = 'SENT';
CREATE UNIQUE INDEX one_live_offer_per_ride ON offers (ride_id) WHERE state = 'SENT';
CREATE INDEX newest_token ON offers (region, token);
CREATE INDEX newest_token_of_driver ON offers (driver_id, region, token);
CREATE TABLE shifts (
  driver_id TEXT PRIMARY KEY,
  status    TEXT NOT NULL CHECK (status IN ('online', 'offline')),
  seats     BIGINT NOT NULL CHECK (seats > 0),
  changed_s DOUBLE PRECISION NOT NULL
);
CREATE INDEX drivers_on_shift ON shifts (driver_id) WHERE status = 'online';
CREATE TABLE idempotency (
  principal   TEXT NOT NULL,
  key         TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  response    TEXT NOT NULL,
  PRIMARY KEY (principal, key)
);
CREATE TABLE outbox (
  id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  region   TEXT NOT NULL,
  ride_id  TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  inboxes  TEXT NOT NULL,
  payload  TEXT NOT NULL,
  position BIGINT UNIQUE,
  UNIQUE (ride_id, sequence)
);
CREATE TABLE relay (
  id                 BIGINT PRIMARY KEY CHECK (id = 1),
  published_position BIGINT NOT NULL
);
INSERT INTO relay (id, published_position) VALUES (1, 0);
DROP INDEX one_live_ride_per_driver;
CREATE UNIQUE INDEX one_next_ride_per_driver ON rides (driver_id) WHERE state IN ('ASSIGNED', 'ARRIVED');
CREATE UNIQUE INDEX one_ride_aboard_per_driver ON rides (driver_id) WHERE state = 'ON_TRIP';
ALTER TABLE shifts ADD COLUMN idle_since_s DOUBLE PRECISION NOT NULL DEFAULT 0;
UPDATE shifts SET idle_since_s = changed_s;
CREATE INDEX live_rides ON rides (region, ride_id) WHERE state IN ('ASSIGNED', 'ARRIVED', 'ON_TRIP');
ALTER TABLE shifts ADD COLUMN stars_sum BIGINT NOT NULL DEFAULT 0;
ALTER TABLE shifts ADD COLUMN stars_count BIGINT NOT NULL DEFAULT 0;
CREATE INDEX outbox_by_region ON outbox (region, position);
CREATE TABLE surge_changes (
  region TEXT NOT NULL, cell TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL,
  multiplier DOUBLE PRECISION NOT NULL, multiplier_before DOUBLE PRECISION NOT NULL,
  requests DOUBLE PRECISION NOT NULL, quotes DOUBLE PRECISION NOT NULL,
  idle_drivers DOUBLE PRECISION NOT NULL, supply DOUBLE PRECISION NOT NULL,
  target DOUBLE PRECISION NOT NULL, wanted DOUBLE PRECISION NOT NULL,
  bounds INTEGER NOT NULL, reason TEXT NOT NULL, version TEXT NOT NULL,
  PRIMARY KEY (region, cell, at_s));
CREATE TABLE surge_versions (version TEXT PRIMARY KEY, params TEXT NOT NULL);
CREATE TABLE surge_orders (
  region TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL, is_frozen INTEGER NOT NULL,
  reason TEXT NOT NULL, operator TEXT NOT NULL,
  PRIMARY KEY (region, at_s, operator));
