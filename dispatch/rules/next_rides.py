"""Whether drivers with a rider aboard are asked in a round for the ride after: while the idle outnumber the riders."""

from __future__ import annotations


def asks_those_aboard(n_idle: int, n_waiting: int) -> bool:
    """Whether a round with so many idle drivers and waiting requests also asks those who drop off soon.

    When requests queue for drivers, it is each freed driver who chooses among riders, and the longer the queue, the
    nearer the nearest of them: binding drivers before their dropoff makes the choice poorer, pickups longer and, with
    every driver busy, the queue longer yet. The figures are in decision 059.
    """
    return n_idle >= n_waiting
