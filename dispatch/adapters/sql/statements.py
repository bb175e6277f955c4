"""Every statement of the ride store, in the dialect that SQLite and PostgreSQL share.

Parameters are numbered `?1`, `?2`, …; `backing.sql.postgres` writes them `$1`, `$2`, ….
"""

from __future__ import annotations

FIND_RIDE = "SELECT body FROM rides WHERE ride_id = ?1"
FIND_RIDE_OF_OFFER = "SELECT r.body FROM rides r JOIN offers o ON o.ride_id = r.ride_id WHERE o.offer_id = ?1"
FIND_OFFER = "SELECT body FROM offers WHERE offer_id = ?1"
#: The next ride and the one aboard have an index each: a query that asks for both at once would use neither of them.
FIND_RIDES_OF_DRIVER = (
    "SELECT body FROM rides WHERE driver_id = ?1 AND state IN ('ASSIGNED', 'ARRIVED')"
    " UNION ALL SELECT body FROM rides WHERE driver_id = ?1 AND state = 'ON_TRIP'"
)
FIND_OFFERED_RIDES_OF_DRIVER = (
    "SELECT r.body FROM rides r JOIN offers o ON o.ride_id = r.ride_id WHERE o.driver_id = ?1 AND o.state = 'SENT'"
)
STANDING_OFFERS_OF_DRIVER = "SELECT offer_id FROM offers WHERE driver_id = ?1 AND state = 'SENT'"
FIND_LIVE_RIDES_OF_RIDER = (
    "SELECT body FROM rides WHERE rider_id = ?1 AND state IN ('REQUESTED', 'OFFERED', 'ASSIGNED', 'ARRIVED', 'ON_TRIP')"
)
#: Until the end of the transaction.
LOCK_RIDER = "SELECT pg_advisory_xact_lock(hashtext('rider ' || ?1))"
#: PostgreSQL locks what a decision is made on; SQLite has one writer at a time.
LOCK = {"sqlite": "", "postgres": " FOR UPDATE"}
LOCK_JOINED = {"sqlite": "", "postgres": " FOR UPDATE OF r"}

FIND_KEY = "SELECT body_sha256, response FROM idempotency WHERE principal = ?1 AND key = ?2"
#: For PostgreSQL: has the commit wait until all before it is on the replica. A commit whose wait for the replica was
#: given up is visible all the same, and a transaction that only reads waits for nothing.
SETTLE = "SELECT pg_logical_emit_message(true, 'hexhail', '')"
ADD_KEY = "INSERT INTO idempotency (principal, key, body_sha256, response, added_s) VALUES (?1, ?2, ?3, ?4, ?5)"
ADD_INTERVENTION = (
    "INSERT INTO interventions (ride_id, sequence, region_id, by_whom, action, reason, at_s)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
)
LATEST_INTERVENTIONS = (
    "SELECT ride_id, sequence, at_s, by_whom, action, reason FROM interventions WHERE region_id = ?1"
    " ORDER BY at_s DESC, ride_id, sequence DESC LIMIT ?2"
)
INTERVENTIONS_IN_RIDE = (
    "SELECT ride_id, sequence, at_s, by_whom, action, reason FROM interventions WHERE region_id = ?1 AND ride_id = ?3"
    " ORDER BY sequence DESC LIMIT ?2"
)
#: Two requests with one key may run at once: the first answer stands.
ADD_KEY_IF_NEW = ADD_KEY + " ON CONFLICT (principal, key) DO NOTHING"

#: A step of the deletion of answers that are older than ?1, wall seconds.
FORGET_KEYS = (
    "DELETE FROM idempotency WHERE (principal, key) IN"
    " (SELECT principal, key FROM idempotency WHERE added_s < ?1 ORDER BY added_s LIMIT ?2) RETURNING 1"
)
OLDEST_KEY = "SELECT MIN(added_s) FROM idempotency"

FIND_RIDE_OF_QUOTE = "SELECT ride_id FROM rides WHERE quote_id = ?1"
ADD_RIDE = (
    "INSERT INTO rides (ride_id, region_id, rider_id, quote_id, state, driver_id, sequence, token, requested_s, body)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
)
#: Only from the sequence that the decision saw, and never back to an older token.
MOVE_RIDE = (
    "UPDATE rides SET state = ?1, driver_id = ?2, sequence = ?3, token = ?4, body = ?5"
    " WHERE ride_id = ?6 AND sequence = ?7 AND token <= ?4 RETURNING ride_id"
)
#: A driver's shift row stands for the driver: a transaction that changes what the driver holds locks it first.
SHIFT_OF_DRIVER = "SELECT status FROM shifts WHERE driver_id = ?1"
#: The newest token of the region (each has a fence of its own), and whether the driver has a next ride.
NEWEST_FENCE_OF_DRIVER = (
    "SELECT COALESCE(MAX(token), 0),"
    " EXISTS (SELECT 1 FROM rides WHERE driver_id = ?1 AND state IN ('ASSIGNED', 'ARRIVED'))"
    " FROM offers WHERE driver_id = ?1 AND region_id = ?2"
)
ADD_OFFER = (
    "INSERT INTO offers (offer_id, ride_id, region_id, driver_id, token, state, body)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
)
END_OFFER = "UPDATE offers SET state = ?1, body = ?2 WHERE offer_id = ?3 AND state = 'SENT' RETURNING offer_id"

OPEN_RIDES = (
    "SELECT ride_id, body FROM rides WHERE region_id = ?1 AND state IN ('REQUESTED', 'OFFERED')"
    " ORDER BY requested_s, ride_id"
)
LIVE_RIDES = (
    "SELECT ride_id, body FROM rides WHERE region_id = ?1 AND state IN ('ASSIGNED', 'ARRIVED', 'ON_TRIP')"
    " ORDER BY ride_id"
)
LATEST_TRIPS = (
    "SELECT ride_id, body FROM rides WHERE region_id = ?1 AND state IN ('ON_TRIP', 'COMPLETED')"
    " ORDER BY requested_s DESC LIMIT ?2"
)
FREE_DRIVERS = (
    "SELECT s.driver_id, s.seats, s.idle_since_s, s.stars_sum, s.stars_count, s.offers_accepted, s.offers_answered"
    " FROM shifts s WHERE s.status = 'online'"
    " AND NOT EXISTS (SELECT 1 FROM rides r WHERE r.driver_id = s.driver_id AND r.state IN ('ASSIGNED', 'ARRIVED'))"
    " AND NOT EXISTS (SELECT 1 FROM rides r WHERE r.driver_id = s.driver_id AND r.state = 'ON_TRIP')"
    " AND NOT EXISTS (SELECT 1 FROM offers o WHERE o.driver_id = s.driver_id AND o.state = 'SENT')"
)
#: The list of states is redundant: without it SQLite does not use the index of live rides.
CARRYING_DRIVERS = (
    "SELECT s.driver_id, s.seats, c.body, s.stars_sum, s.stars_count, c.ride_id"
    " FROM rides c JOIN shifts s ON s.driver_id = c.driver_id"
    " WHERE c.region_id = ?1 AND c.state IN ('ASSIGNED', 'ARRIVED', 'ON_TRIP') AND c.state = 'ON_TRIP'"
    " AND s.status = 'online'"
    " AND NOT EXISTS (SELECT 1 FROM rides r WHERE r.driver_id = c.driver_id AND r.state IN ('ASSIGNED', 'ARRIVED'))"
    " AND NOT EXISTS (SELECT 1 FROM offers o WHERE o.driver_id = c.driver_id AND o.state = 'SENT')"
    " ORDER BY s.driver_id"
)
#: A driver who reports the shift again, because the app was restarted, keeps the start of being idle.
SET_SHIFT = (
    "INSERT INTO shifts (driver_id, status, seats, changed_s, idle_since_s) VALUES (?1, ?2, ?3, ?4, ?4)"
    " ON CONFLICT (driver_id) DO UPDATE SET status = excluded.status, seats = excluded.seats,"
    " changed_s = excluded.changed_s, idle_since_s ="
    " CASE WHEN shifts.status = excluded.status THEN shifts.idle_since_s ELSE excluded.idle_since_s END"
    " RETURNING stars_sum, stars_count"
)
ADD_STARS = "UPDATE shifts SET stars_sum = stars_sum + ?1, stars_count = stars_count + 1 WHERE driver_id = ?2"
COUNT_ANSWER = (
    "UPDATE shifts SET offers_accepted = offers_accepted + ?1, offers_answered = offers_answered + 1"
    " WHERE driver_id = ?2"
)
IDLE_FROM_NOW = "UPDATE shifts SET idle_since_s = ?1 WHERE driver_id = ?2"
NEWEST_FENCE = "SELECT COALESCE(MAX(token), 0) FROM offers WHERE region_id = ?1"
#: As the index has it: coarse places have node -1 (`dispatch.rules.kept_places.NO_NODE`).
_WITH_PLACES = "state IN ('COMPLETED', 'CANCELLED', 'EXPIRED') AND body NOT LIKE '%\"node\":-1}%'"
ENDED_RIDES_WITH_PLACES = (
    f"SELECT requested_s, ride_id, body FROM rides WHERE {_WITH_PLACES}"  # noqa: S608 - the states above
    " AND requested_s < ?1 AND (requested_s, ride_id) > (?2, ?3) ORDER BY requested_s, ride_id LIMIT ?4"
)
OLDEST_PLACES = f"SELECT MIN(requested_s) FROM rides WHERE {_WITH_PLACES}"  # noqa: S608 - the states above
#: Only from the sequence that was read: whoever changes the ride meanwhile has the last word.
FORGET_PLACES = "UPDATE rides SET body = ?1 WHERE ride_id = ?2 AND sequence = ?3 RETURNING ride_id"
COUNT_RIDES = "SELECT state, COUNT(*) FROM rides GROUP BY state"
