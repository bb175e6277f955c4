-- The id of a region is called region_id everywhere.
ALTER TABLE rides RENAME COLUMN region TO region_id;
ALTER TABLE offers RENAME COLUMN region TO region_id;
ALTER TABLE outbox RENAME COLUMN region TO region_id;
UPDATE rides SET body = ((body::jsonb - 'region') || jsonb_build_object('region_id', region_id))::text;
UPDATE outbox SET payload = ((payload::jsonb - 'region') || jsonb_build_object('region_id', region_id))::text;
UPDATE idempotency SET response =
  ((response::jsonb - 'region') || jsonb_build_object('region_id', response::jsonb -> 'region'))::text;
