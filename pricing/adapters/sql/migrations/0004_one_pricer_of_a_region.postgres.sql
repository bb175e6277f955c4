-- One process prices a region: it holds the newest epoch, which each of its changes names.
CREATE TABLE surge_owners (region_id TEXT PRIMARY KEY, epoch BIGINT NOT NULL);
ALTER TABLE surge_changes ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
-- The newest change of each cell, so that the next pricer goes on from it without reading all of them.
CREATE TABLE surge_newest (
  region_id TEXT NOT NULL, cell TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL, multiplier DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (region_id, cell)
);
INSERT INTO surge_newest (region_id, cell, at_s, multiplier)
SELECT region_id, cell, at_s, multiplier FROM surge_changes AS change
WHERE at_s = (SELECT MAX(at_s) FROM surge_changes WHERE region_id = change.region_id AND cell = change.cell);
