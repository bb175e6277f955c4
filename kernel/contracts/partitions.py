"""Which partitions of the topics are a region's."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence


class RegionPartitions:
    """The partitions, 0 to ``count`` - 1, in which the messages of each region travel; the same in every process.

    A region has one home partition: its events, quotes and owners are there. The pings of a large region are spread
    over several partitions, which several ingesters share; all pings of one driver are in one of them.
    """

    def __init__(self, region_ids: Sequence[str], count: int, table: Mapping[str, Sequence[int]] | None = None) -> None:
        """Regions without an entry in the table get one of the least used partitions each, in their order.

        Raises ValueError for a table that names no partition, one that does not exist, or one twice for a region.
        """
        self.count = count
        self._of = {region_id: tuple(partitions) for region_id, partitions in (table or {}).items()}
        for region_id, partitions in self._of.items():
            if not partitions or len(set(partitions)) < len(partitions) or not set(partitions) <= set(range(count)):
                raise ValueError(
                    f"region {region_id} has the partitions {list(partitions)}: expected one or more of 0 to "
                    f"{count - 1}, each once. The table is HEXHAIL_REGION_PARTITIONS, their number "
                    "HEXHAIL_TOPIC_PARTITIONS."
                )
        used = Counter(partition for partitions in self._of.values() for partition in partitions)
        for region_id in region_ids:
            if region_id not in self._of:
                least = min(range(count), key=lambda partition: (used[partition], partition))
                self._of[region_id] = (least,)
                used[least] += 1
        #: The regions that are served, in their order.
        self.region_ids = tuple(region_ids)

    def home(self, region_id: str) -> int:
        """Return the partition of a region's events, quotes and owners."""
        return self.pings(region_id)[0]

    def pings(self, region_id: str) -> tuple[int, ...]:
        """Return the partitions of a region's pings, its home first; one for a region that nobody names."""
        # The messages of a region that is served no more still travel.
        return self._of.get(region_id) or (partition_by_name(region_id, self.count),)

    @property
    def table(self) -> str:
        """Return what tells one table of homes from another; empty for that of versions before, by the names."""
        homes = {region_id: self.home(region_id) for region_id in self.region_ids}
        if all(home == partition_by_name(region_id, self.count) for region_id, home in homes.items()):
            return ""
        return f"{self.count}: {sorted(homes.items())}"

    def crowded(self) -> str:
        """Return which served regions share a partition while another is empty; empty if none does."""
        regions_in: dict[int, list[str]] = {}
        for region_id in self.region_ids:
            for partition in self.pings(region_id):
                regions_in.setdefault(partition, []).append(region_id)
        shared = [f"{', '.join(names)} share {at}" for at, names in sorted(regions_in.items()) if len(names) > 1]
        empty = [str(partition) for partition in range(self.count) if partition not in regions_in]
        return f"{'; '.join(shared)}; nobody uses {', '.join(empty)}" if shared and empty else ""

    def __str__(self) -> str:
        return ", ".join(f"{region_id} {'+'.join(map(str, self.pings(region_id)))}" for region_id in self.region_ids)


def partition_by_name(region_id: str, count: int) -> int:
    """Return the partition that a region had in versions without a table: whatever its name gave."""
    return zlib.crc32(region_id.encode()) % count


def partition_of_driver(driver_id: str, partitions: Sequence[int]) -> int:
    """Return which of a region's partitions the pings of a driver travel in; the same on every machine."""
    if len(partitions) == 1:
        return partitions[0]
    return partitions[zlib.crc32(driver_id.encode()) % len(partitions)]
