-- The id of a region is called region_id everywhere.
ALTER TABLE surge_changes RENAME COLUMN region TO region_id;
ALTER TABLE surge_orders RENAME COLUMN region TO region_id;
