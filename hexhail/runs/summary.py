"""Summarises a live run from the event history in its store, and checks the invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatch import events as ev
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.model import RideState
from dispatch.rules.invariants import check_history
from hexhail.runtime.database import open_database


@dataclass(frozen=True)
class Summary:
    """The figures by name, as they are written, and the violations as sentences."""

    figures: dict[str, Any]
    violations: list[str]


async def summarise(
    database_url: str,
    *,
    totals: Mapping[str, int],
    population: Mapping[str, Any],
    lived_s: float,
    restarts: Mapping[str, int],
) -> Summary:
    """Read the whole history of a store, follow it, and count.

    `totals` are the counters of the streams, `population` what the riders and drivers say they did.
    """
    async with await open_database(database_url) as database:
        events = [decode(payload) for payload in await SqlRideStore(database).history()]
    history = check_history(events)
    happened = Counter(type(event) for event in events)
    by_state = Counter(ride.state for ride in history.rides.values())
    violations = list(history.violations)
    requests = len(history.rides)
    if population and population.get("requests", requests) > requests:
        violations.append(f"3 riders were told of {population['requests']} rides, the store has {requests}")
    waits_s = [ride.picked_up_s - ride.requested_s for ride in history.rides.values() if ride.picked_up_s is not None]
    figures = {
        "requests": requests,
        "offers": happened[ev.OfferSent],
        "accepted": happened[ev.OfferAccepted],
        "declined": happened[ev.OfferDeclined],
        "offers_expired": happened[ev.OfferExpired],
        "offers_withdrawn": happened[ev.OfferWithdrawn],
        "given_back_by_driver": happened[ev.AssignmentCancelled],
        "trips_closed": happened[ev.TripClosed],
        "no_shows": happened[ev.RiderDidNotShow],
        "completed": by_state[RideState.COMPLETED],
        "cancelled": by_state[RideState.CANCELLED],
        "expired": by_state[RideState.EXPIRED],
        "open": len(history.open_rides()),
        "pickup_wait_s": _spread(waits_s),
        "pings_ingested": totals["pings_accepted"],
        "pings_per_s": round(totals["pings_accepted"] / lived_s, 1) if lived_s else 0.0,
        "events_committed": len(events),
        "events_published": totals["events_published"],
        "events_consumed": totals["events_consumed"],
        "invariant_violations": len(violations),
        "violations": violations[:20],
        "wall_s": round(lived_s, 1),
        "restarts": dict(restarts),
        "population": dict(population),
    }
    return Summary(figures, violations)


def _spread(values_s: list[float]) -> dict[str, float | None]:
    if not values_s:
        return {"mean": None, "p50": None, "p95": None}
    p50, p95 = np.percentile(values_s, [50, 95])
    return {"mean": round(float(np.mean(values_s)), 1), "p50": round(float(p50), 1), "p95": round(float(p95), 1)}
