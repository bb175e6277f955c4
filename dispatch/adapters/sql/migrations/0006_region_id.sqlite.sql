-- The id of a region is called region_id everywhere.
ALTER TABLE rides RENAME COLUMN region TO region_id;
ALTER TABLE offers RENAME COLUMN region TO region_id;
ALTER TABLE outbox RENAME COLUMN region TO region_id;
UPDATE rides SET body = json_set(json_remove(body, '$.region'), '$.region_id', region_id);
UPDATE outbox SET payload = json_set(json_remove(payload, '$.region'), '$.region_id', region_id);
UPDATE idempotency SET response =
  json_set(json_remove(response, '$.region'), '$.region_id', json_extract(response, '$.region'));
