-- lives with: 11
-- Ended rides whose places are exact, the oldest requests first: coarse places, which have node -1, are not among them.
-- No column says so: with one more, SQLite's planner reads all rides of a region where rounds ask for the open ones.
CREATE INDEX ended_rides_with_places ON rides (requested_s, ride_id)
  WHERE state IN ('COMPLETED', 'CANCELLED', 'EXPIRED') AND body NOT LIKE '%"node":-1}%';
