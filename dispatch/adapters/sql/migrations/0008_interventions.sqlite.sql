-- Who changed a ride that was not theirs, what, why and when: operators, and the deadlines of rides.
CREATE TABLE interventions (
  ride_id   TEXT NOT NULL REFERENCES rides (ride_id),
  sequence  INTEGER NOT NULL,                 -- of the last event that it led to
  region_id TEXT NOT NULL,
  by_whom   TEXT NOT NULL,                    -- operator:<id>, or system
  action    TEXT NOT NULL,
  reason    TEXT NOT NULL,
  at_s      REAL NOT NULL,
  PRIMARY KEY (ride_id, sequence)
) STRICT;
CREATE INDEX interventions_by_time ON interventions (region_id, at_s);
