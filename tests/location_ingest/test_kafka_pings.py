"""The pings of a large region over its partitions, without a broker."""

from __future__ import annotations

import numpy as np

from location_ingest.adapters.kafka_pings import by_partition
from location_ingest.columns import PingColumns


def group_of(driver_ids: list[str]) -> PingColumns:
    values = np.arange(6.0 * len(driver_ids)).reshape(-1, 6)
    return PingColumns("metro", 1_700_000_000.0, driver_ids, values)


def test_a_region_with_one_partition_sends_its_group_as_it_is() -> None:
    group = group_of(["ada", "bob"])
    assert list(by_partition(group, (3,))) == [(3, group)]


def test_all_pings_of_a_driver_go_to_one_partition_in_their_order() -> None:
    """So one ingester judges a driver's whole track."""
    drivers = [f"driver-{n % 40}" for n in range(200)]
    partition_of: dict[str, int] = {}
    rows = dict[str, list[float]]()
    for partition, part in by_partition(group_of(drivers), (5, 1, 3)):
        assert (part.region_id, part.received_s) == ("metro", 1_700_000_000.0)
        for driver_id, row in zip(part.driver_ids, part.values.tolist(), strict=True):
            assert partition_of.setdefault(driver_id, partition) == partition
            rows.setdefault(driver_id, []).append(row[0])
    assert set(partition_of.values()) == {5, 1, 3}
    assert sum(map(len, rows.values())) == 200
    assert all(times == sorted(times) for times in rows.values())


def test_a_partition_without_a_driver_gets_no_message() -> None:
    assert len(list(by_partition(group_of(["ada"]), (0, 1, 2)))) == 1
