-- Each request reads the rider's rides that have not ended.
CREATE INDEX live_rides_of_rider ON rides (rider_id)
  WHERE state IN ('REQUESTED', 'OFFERED', 'ASSIGNED', 'ARRIVED', 'ON_TRIP');
