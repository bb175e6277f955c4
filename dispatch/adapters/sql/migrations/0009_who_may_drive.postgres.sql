-- Who may drive in a region. A region without a row in driver_lists has no list: everybody may.
CREATE TABLE driver_lists (
  region_id TEXT PRIMARY KEY,
  begun_s   DOUBLE PRECISION NOT NULL,
  operator  TEXT NOT NULL
);
CREATE TABLE listed_drivers (
  region_id TEXT NOT NULL,
  driver_id TEXT NOT NULL,
  added_s   DOUBLE PRECISION NOT NULL,
  operator  TEXT NOT NULL,
  PRIMARY KEY (region_id, driver_id)
);
-- How often each driver answered an offer, and how often with yes; an offer that ran out counts as answered.
ALTER TABLE shifts ADD COLUMN offers_accepted BIGINT NOT NULL DEFAULT 0;
ALTER TABLE shifts ADD COLUMN offers_answered BIGINT NOT NULL DEFAULT 0;
UPDATE shifts SET
  offers_accepted = (SELECT COUNT(*) FROM offers o WHERE o.driver_id = shifts.driver_id AND o.state = 'ACCEPTED'),
  offers_answered = (SELECT COUNT(*) FROM offers o WHERE o.driver_id = shifts.driver_id
    AND o.state IN ('ACCEPTED', 'DECLINED', 'EXPIRED'));
