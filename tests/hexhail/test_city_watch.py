"""A process takes a changed map over when it is at rest and right, and stays with its own otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from structlog.testing import capture_logs

from dispatch.matching.policy import PairPolicy
from dispatch.matching.value_learning import learn_values
from dispatch.model import DispatchParams
from geo.city import City
from geo.learning.traffic import EdgeSpeeds
from geo.roads.graph import GRAPH_FILE
from hexhail.cities.learned_files import LearnedFiles
from hexhail.cities.learned_traffic import city_profile
from hexhail.cities.policy import city_policy
from hexhail.cities.sections import load_checked_city
from hexhail.runtime.city_watch import CityWatch, MapMetrics
from hexhail.runtime.map_reports import AsideReports, MapReports, aside_text
from kernel.section_reader import read_params
from tests.api.two_regions import write_city
from tests.dispatch.maps import backwards
from tests.dispatch.matching.test_position_value import did

pytestmark = pytest.mark.servers


class Watching:
    """A watch over a drawn city, and what it took over."""

    def __init__(self, folder: Path, redis: Any) -> None:
        write_city(folder / "city", "harlem")
        self.folder = folder / "city"
        self.first = load_checked_city(self.folder)
        self.taken: list[City] = []
        self.fault: Exception | None = None
        self.registry = CollectorRegistry()
        self.watch = CityWatch("matcher", self.folder, self.first, redis, self.take_over, MapMetrics(self.registry))

    async def take_over(self, city: City) -> None:
        if self.fault is not None:
            raise self.fault
        self.taken.append(city)

    def gauge(self, name: str, prefix: str = "hexhail_map_") -> float | None:
        return self.registry.get_sample_value(f"{prefix}{name}", {"region": "harlem"})

    def rebuild(self) -> str:
        """Write a map whose crossings have other numbers; returns its id."""
        backwards(self.first.graph).save(self.folder)
        return load_checked_city(self.folder).places.map_id


@pytest.fixture
def watching(tmp_path: Path, empty_redis: Redis) -> Watching:
    return Watching(tmp_path, empty_redis)


async def test_a_new_map_is_taken_over_once_two_looks_found_the_same(watching: Watching) -> None:
    await watching.watch.look()
    new = watching.rebuild()
    await watching.watch.look()
    assert watching.taken == []
    for _ in range(3):
        await watching.watch.look()
    assert [city.places.map_id for city in watching.taken] == [new]
    assert watching.watch.city.places.map_id == new
    assert await watching.watch.note() == "ok"


async def test_the_same_map_written_again_changes_nothing(watching: Watching) -> None:
    watching.first.graph.save(watching.folder)
    for _ in range(3):
        await watching.watch.look()
    assert watching.taken == []


@pytest.mark.parametrize(
    ("file", "content"),
    [(GRAPH_FILE, b"PK no map"), (GRAPH_FILE, b""), ("city.toml", b"[region]\nregion_id = 7\n")],
    ids=["broken", "empty", "section"],
)
async def test_files_that_are_wrong_are_refused_until_they_change(
    watching: Watching, file: str, content: bytes
) -> None:
    new = watching.rebuild()
    whole = (watching.folder / file).read_bytes()
    (watching.folder / file).write_bytes(content)
    for _ in range(3):
        await watching.watch.look()
    assert watching.taken == []
    assert (await watching.watch.note()).startswith("the map on disk is refused: ")
    assert watching.gauge("refused") == 1.0
    (watching.folder / file).write_bytes(whole)
    for _ in range(2):
        await watching.watch.look()
    assert [city.places.map_id for city in watching.taken] == [new]
    assert (await watching.watch.note(), watching.gauge("refused")) == ("ok", 0.0)


async def test_a_map_of_another_region_is_refused(watching: Watching) -> None:
    watching.rebuild()
    text = (watching.folder / "city.toml").read_text()
    (watching.folder / "city.toml").write_text(text.replace('region_id = "harlem"', 'region_id = "bronx"'))
    for _ in range(2):
        await watching.watch.look()
    assert "is of region 'bronx' now, not 'harlem'" in await watching.watch.note()


async def test_a_file_beside_the_map_that_does_not_fit_refuses_it_and_an_outage_does_not(watching: Watching) -> None:
    new = watching.rebuild()
    watching.fault = ConnectionError("Redis is away")
    await watching.watch.look()
    with pytest.raises(ConnectionError):
        await watching.watch.look()
    assert watching.watch.refusal == ""
    watching.fault = ValueError("the values are of other roads")
    await watching.watch.look()
    assert watching.watch.refusal == "the values are of other roads"
    watching.fault = None
    (watching.folder / "values.npz").write_bytes(b"made anew")
    for _ in range(2):
        await watching.watch.look()
    assert [city.places.map_id for city in watching.taken] == [new]


class Learning(Watching):
    """A watch over a city with position values and usual traffic, read as the roles read them."""

    def __init__(self, folder: Path, redis: Any) -> None:
        super().__init__(folder, redis)
        self.learned = LearnedFiles("harlem")
        text = (self.folder / "city.toml").read_text()
        extra = '\n[dispatch]\nvalues = "values.npz"\n\n[learned_traffic]\nprofile = "usual.npz"\n'
        (self.folder / "city.toml").write_text(text + extra)
        self.first = load_checked_city(self.folder)
        self.learn_on(self.first)
        self.used = self.read(self.first)
        self.registry = CollectorRegistry()
        metrics = MapMetrics(self.registry)
        self.watch = CityWatch("matcher", self.folder, self.first, redis, self.take_over, metrics, self.learned)

    def learn_on(self, city: City) -> None:
        EdgeSpeeds(city.graph).save(self.folder / "usual.npz")
        learn_values(did((0, 0, 1, 200, 1000)), city.graph).save(self.folder / "values.npz")

    def read(self, city: City) -> tuple[bool, bool]:
        """Whether the position values and the usual traffic are in use."""
        params = read_params(city.sections, DispatchParams)
        policy = city_policy(self.folder, city.graph, params, self.learned)
        assert isinstance(policy, PairPolicy)
        return policy._position_value is not None, city_profile(city, self.folder, self.learned) is not None

    async def take_over(self, city: City) -> None:
        self.used = self.read(city)
        await super().take_over(city)


async def test_learned_files_of_the_old_map_are_set_aside_and_the_new_map_is_taken(
    tmp_path: Path, empty_redis: Redis
) -> None:
    watching = Learning(tmp_path, empty_redis)
    watch, doctor = watching.watch, AsideReports(empty_redis, "harlem")
    assert watching.used == (True, True)
    await watch.look()
    new = watching.rebuild()
    with capture_logs() as logs:
        for _ in range(3):
            await watch.look()
    assert [city.places.map_id for city in watching.taken] == [new]
    assert (watch.refusal, watching.used) == ("", (False, False))
    assert watching.gauge("set_aside", "hexhail_learned_files_") == 2.0
    named = [log["file"] for log in logs if log["event"] == "learned_file_set_aside"]
    assert sorted(named) == ["usual.npz", "values.npz"]
    for said in (await watch.note(), aside_text(await doctor.read())):
        assert "usual.npz is set aside" in said
        assert "values.npz is set aside" in said
    watching.learn_on(watch.city)
    for _ in range(3):
        await watch.look()
    assert watching.used == (True, True)
    assert (await watch.note(), await doctor.read()) == ("ok", {})
    assert watching.gauge("set_aside", "hexhail_learned_files_") == 0.0


async def test_a_broken_learned_file_still_refuses_the_new_map(tmp_path: Path, empty_redis: Redis) -> None:
    watching = Learning(tmp_path, empty_redis)
    watching.rebuild()
    (watching.folder / "values.npz").write_bytes(b"no values")
    for _ in range(3):
        await watching.watch.look()
    assert watching.taken == []
    assert "values.npz holds no position values" in await watching.watch.note()


async def test_processes_with_another_map_are_named_until_they_end(watching: Watching, empty_redis: Redis) -> None:
    await MapReports(empty_redis, "harlem").tell("pricer@there:7", "0123")
    await empty_redis.hset("{harlem}:maps", "api@gone:1", "4567|1000")
    await watching.watch.look()
    own = watching.first.places.map_id
    assert await watching.watch.note() == f"pricer@there:7 has 0123, not {own}"
    assert watching.gauge("processes_apart") == 1.0
    assert await empty_redis.hlen("{harlem}:maps") == 2  # whoever ended is forgotten
