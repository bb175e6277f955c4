"""The Kafka topics. A message travels in the partition of its region."""

from __future__ import annotations

from collections.abc import Mapping

PINGS_TOPIC = "driver.pings"
DEAD_PINGS_TOPIC = "driver.pings.dead"
RIDE_EVENTS_TOPIC = "ride.events"
QUOTES_TOPIC = "quotes.asked"
#: Without messages: whoever holds the partition of a region runs its matching rounds.
OWNERS_TOPIC = "dispatch.owners"

#: Written to by whoever asks whether the broker takes messages; nobody reads it.
PROBES_TOPIC = "write.probes"

#: Stream of dispatch in the outbox, a key for each ride.
RIDE_EVENTS_STREAM = "ride.events"
#: Every stream of the outbox, with the topic that the relay publishes it to.
STREAM_TOPICS: Mapping[str, str] = {RIDE_EVENTS_STREAM: RIDE_EVENTS_TOPIC}

ALL_TOPICS = (PINGS_TOPIC, DEAD_PINGS_TOPIC, QUOTES_TOPIC, OWNERS_TOPIC, PROBES_TOPIC, *STREAM_TOPICS.values())
