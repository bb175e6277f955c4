-- Ride events move into the outbox of all streams, with their positions and how far they are published.
INSERT INTO outbox_rows (stream, key, sequence, region_id, inboxes, payload, position)
  SELECT 'ride.events', ride_id, sequence, region_id, inboxes, payload, position FROM outbox ORDER BY id;
UPDATE outbox_relay SET published_position = (SELECT published_position FROM relay);
DROP TABLE outbox;
DROP TABLE relay;
