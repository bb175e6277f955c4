"""A tariff file that changes under a running service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from kernel.contracts import redis_keys
from pricing.adapters.redis_tariffs import RedisTariffs
from pricing.adapters.tariff_file import TariffFile, read_tariff
from pricing.errors import TariffRefused
from pricing.metrics import TariffMetrics
from pricing.model.tariff import Tariff
from pricing.service.tariff_watch import TariffWatch
from tests.pricing.tariffs import TAXI
from tests.pricing.test_tariff_file import TEXT


class Watched:
    """A watch over a file that the test writes."""

    def __init__(self, path: Path, archive: RedisTariffs) -> None:
        self.path, self.registry = path, CollectorRegistry()
        self.write(TEXT)
        self.first = read_tariff(path)
        self.watch = TariffWatch(TariffFile(path), "tokyo", archive, TariffMetrics(self.registry))

    def write(self, text: str) -> None:
        # Put in place at once, as editors do; a new inode tells files of the same size and moment apart.
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)

    async def twice(self) -> Tariff:
        """The tariff after two looks."""
        await self.watch.look()
        await self.watch.look()
        return self.watch.tariff

    def is_refused(self) -> float | None:
        return self.registry.get_sample_value("hexhail_tariff_refused", {"region": "tokyo"})

    def is_in_force(self, tariff: Tariff) -> float | None:
        labels = {"region": "tokyo", "version": tariff.version}
        return self.registry.get_sample_value("hexhail_tariff_in_force", labels)


@pytest.fixture
def archive(empty_redis: Redis) -> RedisTariffs:
    return RedisTariffs(empty_redis, "tokyo")


@pytest.fixture
async def watched(tmp_path: Path, archive: RedisTariffs) -> Watched:
    watched = Watched(tmp_path / "city.toml", archive)
    await watched.watch.start()
    return watched


async def test_a_changed_file_is_put_in_force_and_the_version_before_stays_known(
    watched: Watched, empty_redis: Redis
) -> None:
    watched.write(TEXT.replace("base_cents = 500", "base_cents = 600"))
    dearer = await watched.twice()
    assert dearer == replace(watched.first, base_cents=600)
    assert (watched.is_in_force(dearer), watched.is_in_force(watched.first)) == (1, None)
    elsewhere = RedisTariffs(empty_redis, "tokyo")
    assert await elsewhere.find(watched.first.version) == watched.first
    assert await elsewhere.find(dearer.version) == dearer
    assert await elsewhere.find("0123456789abcdef") is None
    assert await RedisTariffs(empty_redis, "osaka").find(dearer.version) is None


async def test_a_wrong_file_is_refused_and_the_tariff_before_stays_in_force_until_it_is_mended(
    watched: Watched,
) -> None:
    watched.write(TEXT.replace("base_cents = 500", "base_cents = -600"))
    assert await watched.twice() == watched.first
    assert str(watched.watch.refusal) == (
        f"{watched.path}, line 8: tariff.base_cents is -600; expected a whole number of minor units, at least 0"
    )
    assert (watched.is_refused(), watched.is_in_force(watched.first)) == (1, 1)
    watched.write(TEXT.replace("base_cents = 500", "base_cents = 600"))
    assert (await watched.twice()).base_cents == 600
    assert (watched.watch.refusal, watched.is_refused()) == (None, 0)


async def test_a_file_that_is_still_being_written_is_left_alone(watched: Watched) -> None:
    for length in range(len(TEXT) - 60, len(TEXT), 10):
        watched.write(TEXT[:length])
        await watched.watch.look()
        assert (watched.watch.tariff, watched.watch.refusal) == (watched.first, None)


async def test_a_version_that_cannot_be_archived_is_not_quoted_by(watched: Watched, archive: RedisTariffs) -> None:
    async def away(tariff: Tariff) -> None:
        raise ConnectionError

    keep, archive.keep = archive.keep, away
    watched.write(TEXT.replace("base_cents = 500", "base_cents = 600"))
    await watched.watch.look()
    with pytest.raises(ConnectionError):
        await watched.watch.look()
    assert watched.watch.tariff == watched.first
    archive.keep = keep
    await watched.watch.look()
    assert watched.watch.tariff.base_cents == 600


async def test_a_wrong_file_at_the_start_is_refused(tmp_path: Path, archive: RedisTariffs) -> None:
    (tmp_path / "city.toml").write_text(TEXT.replace("rate_percent = 10", "rate_percent = 101"))
    with pytest.raises(TariffRefused, match=r"line 17: tariff.tax.rate_percent is 101; expected a number from 0"):
        TariffWatch(TariffFile(tmp_path / "city.toml"), "tokyo", archive, TariffMetrics(CollectorRegistry()))


async def test_tariffs_of_different_regions_do_not_mix(archive: RedisTariffs, empty_redis: Redis) -> None:
    await archive.keep(TAXI)
    assert await empty_redis.hkeys(redis_keys.tariffs("tokyo")) == [TAXI.version.encode()]


async def test_a_version_that_this_release_cannot_read_counts_as_lost(
    archive: RedisTariffs, empty_redis: Redis
) -> None:
    await empty_redis.hset(
        redis_keys.tariffs("tokyo"), "of-another-release", b'{"version": "of-another-release", "new": 1}'
    )
    assert await archive.find("of-another-release") is None
