"""The Kafka topics. A message travels in the partition of its region."""

PINGS_TOPIC = "driver.pings"
DEAD_PINGS_TOPIC = "driver.pings.dead"
RIDE_EVENTS_TOPIC = "ride.events"
QUOTES_TOPIC = "quotes.asked"
#: Without messages: whoever holds the partition of a region runs its matching rounds.
OWNERS_TOPIC = "dispatch.owners"

ALL_TOPICS = (PINGS_TOPIC, DEAD_PINGS_TOPIC, RIDE_EVENTS_TOPIC, QUOTES_TOPIC, OWNERS_TOPIC)
