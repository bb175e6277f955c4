"""Which partitions a region has, without a broker."""

from __future__ import annotations

from collections import Counter

import pytest

from kernel.contracts.partitions import RegionPartitions, partition_by_name, partition_of_driver

FIVE = ["manhattan", "brooklyn", "queens", "berlin", "paris"]


def test_regions_are_spread_evenly_in_their_order_and_not_by_their_names() -> None:
    """By the checksum of their names manhattan and brooklyn shared a partition, and one of four was empty."""
    assert Counter(partition_by_name(name, 4) for name in FIVE) == {0: 2, 1: 2, 2: 1}
    partitions = RegionPartitions(FIVE, 4)
    assert [partitions.home(name) for name in FIVE] == [0, 1, 2, 3, 0]
    assert partitions.crowded() == ""


def test_a_table_gives_a_large_region_several_partitions_and_the_others_what_is_left() -> None:
    partitions = RegionPartitions(FIVE, 8, {"manhattan": [2, 0, 1]})
    assert partitions.pings("manhattan") == (2, 0, 1)
    assert partitions.home("manhattan") == 2
    assert [partitions.home(name) for name in FIVE[1:]] == [3, 4, 5, 6]
    assert str(partitions).startswith("manhattan 2+0+1, brooklyn 3, ")


def test_tables_with_the_same_homes_are_the_same_table() -> None:
    assert RegionPartitions(["manhattan"], 4).table == "", "the partition of a single city did not change"
    spread = RegionPartitions(FIVE, 4)
    assert spread.table != ""
    assert spread.table == RegionPartitions(FIVE[::-1], 4, {name: [spread.home(name)] for name in FIVE}).table
    assert spread.table != RegionPartitions(FIVE, 8).table
    by_name = {name: [partition_by_name(name, 4)] for name in FIVE}
    assert RegionPartitions(FIVE, 4, by_name).table == ""
    wider = RegionPartitions(FIVE, 4, {name: [spread.home(name), (spread.home(name) + 1) % 4] for name in FIVE})
    assert wider.table == spread.table


def test_a_region_that_is_served_no_more_still_has_a_partition() -> None:
    assert RegionPartitions(FIVE, 4).pings("rome") == (partition_by_name("rome", 4),)


def test_regions_that_share_a_partition_while_another_is_empty_are_named() -> None:
    crowded = RegionPartitions(["north", "south"], 3, {"north": [1], "south": [1, 2]}).crowded()
    assert crowded == "north, south share 1; nobody uses 0"
    assert RegionPartitions(["north", "south", "east"], 2).crowded() == ""


@pytest.mark.parametrize("wrong", [[], [4], [-1], [1, 1]])
def test_a_table_that_cannot_be_is_refused(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match=r"region north has the partitions .*expected one or more of 0 to 3"):
        RegionPartitions(["north"], 4, {"north": wrong})


def test_all_pings_of_a_driver_are_in_one_partition_and_drivers_are_spread() -> None:
    used = Counter(partition_of_driver(f"driver-{n}", (5, 1, 3)) for n in range(3_000))
    assert set(used) == {1, 3, 5}
    assert min(used.values()) > 800
    assert partition_of_driver("driver-1", (5, 1, 3)) == partition_of_driver("driver-1", (5, 1, 3))
    assert partition_of_driver("anybody", (2,)) == 2
