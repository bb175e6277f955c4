-- Who follows one region's events walks past no other region's.
CREATE INDEX outbox_by_region ON outbox (region, position);
