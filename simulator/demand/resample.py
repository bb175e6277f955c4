"""Resamples a recorded day: a Poisson bootstrap of its requests with jittered times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.demand.inputs import PlacedRequests

#: Copies of one request are spread by up to this time, so that they do not coincide; short against changes of demand.
JITTER_S = 300.0
#: Seed-sequence key that separates these draws from those in `simulator.people.population`.
_DEMAND = 2


def resampled(requests: PlacedRequests, seed: int) -> PlacedRequests:
    """Draw every request a Poisson(1) number of times and move each copy by up to `JITTER_S` either way.

    This draws from a Poisson process whose rate is the recorded day, smoothed over time. The same seed gives the
    same day. Raises ValueError if no request is drawn, which may happen when there are only a few.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, _DEMAND))))
    asked = requests.asked
    row = np.repeat(np.arange(len(requests)), generator.poisson(1.0, len(requests)))
    if not row.size:
        raise ValueError(f"resampling {len(requests)} requests with seed {seed} left none: give more of them")
    t_s = asked.t_s[row] + generator.uniform(-JITTER_S, JITTER_S, row.size)
    # Times that fall outside the recorded day are reflected at its ends.
    first, last = float(asked.t_s[0]), float(asked.t_s[-1])
    t_s = np.clip(np.where(t_s < first, 2 * first - t_s, np.where(t_s > last, 2 * last - t_s, t_s)), first, last)
    order = np.argsort(t_s, kind="stable")
    row, t_s = row[order], t_s[order]
    drawn = replace(
        asked,
        t_s=t_s,
        pickup_deg=asked.pickup_deg[row],
        dropoff_deg=asked.dropoff_deg[row],
        party_size=asked.party_size[row],
    )
    return PlacedRequests(drawn, requests.pickup_node[row], requests.dropoff_node[row])
