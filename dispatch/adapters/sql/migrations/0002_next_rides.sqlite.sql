-- A driver with a rider aboard may have the next ride already: one of each, not one of both.
DROP INDEX one_live_ride_per_driver;
CREATE UNIQUE INDEX one_next_ride_per_driver ON rides (driver_id) WHERE state IN ('ASSIGNED', 'ARRIVED');
CREATE UNIQUE INDEX one_ride_aboard_per_driver ON rides (driver_id) WHERE state = 'ON_TRIP';
