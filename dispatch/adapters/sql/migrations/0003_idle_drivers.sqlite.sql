-- Since when each driver has nothing to do: the later of going on shift and the end of the last ride.
ALTER TABLE shifts ADD COLUMN idle_since_s REAL NOT NULL DEFAULT 0;
UPDATE shifts SET idle_since_s = changed_s;
-- Rounds read the live rides: without this, among all rides that ever were.
CREATE INDEX live_rides ON rides (region, ride_id) WHERE state IN ('ASSIGNED', 'ARRIVED', 'ON_TRIP');
