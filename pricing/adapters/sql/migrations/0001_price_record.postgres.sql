-- Changes of prices with what they were decided on, the parameters of each version, and operators' freezes.
-- Databases from before these files have the tables already.
CREATE TABLE IF NOT EXISTS surge_changes (
  region TEXT NOT NULL, cell TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL,
  multiplier DOUBLE PRECISION NOT NULL, multiplier_before DOUBLE PRECISION NOT NULL,
  requests DOUBLE PRECISION NOT NULL, quotes DOUBLE PRECISION NOT NULL,
  idle_drivers DOUBLE PRECISION NOT NULL, supply DOUBLE PRECISION NOT NULL,
  target DOUBLE PRECISION NOT NULL, wanted DOUBLE PRECISION NOT NULL,
  bounds INTEGER NOT NULL, reason TEXT NOT NULL, version TEXT NOT NULL,
  PRIMARY KEY (region, cell, at_s)
);
CREATE TABLE IF NOT EXISTS surge_versions (version TEXT PRIMARY KEY, params TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS surge_orders (
  region TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL, is_frozen INTEGER NOT NULL,
  reason TEXT NOT NULL, operator TEXT NOT NULL,
  PRIMARY KEY (region, at_s, operator)
);
