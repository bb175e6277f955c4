"""Several cities over the same stores."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hexhail.cities.served import check_edge, common_to, load_cities
from hexhail.runtime.serve import specs
from hexhail.runtime.settings import MANHATTAN, Settings


def test_without_a_list_the_city_of_the_api_is_the_only_one() -> None:
    assert Settings(city_dir=Path("north")).city_folders == [Path("north")]
    assert [spec.name for spec in specs(["api", "relay"], Settings())] == ["api", "relay"]


def test_every_city_gets_an_api_of_its_own_on_the_next_port() -> None:
    settings = Settings(city_dirs=os.pathsep.join(["maps/north", "maps/south"]), api_port=9000)
    started = {spec.name: spec.env for spec in specs(["matcher", "api"], settings)}
    assert started == {
        "matcher": {},
        "api-north": {"HEXHAIL_CITY_DIR": str(Path("maps/north")), "HEXHAIL_API_PORT": "9000"},
        "api-south": {"HEXHAIL_CITY_DIR": str(Path("maps/south")), "HEXHAIL_API_PORT": "9001"},
    }


def test_internal_ports_of_regions_follow_each_other_where_the_settings_name_one() -> None:
    settings = Settings(city_dirs=os.pathsep.join(["maps/north", "maps/south"]), api_port=9000, internal_port=7000)
    assert [spec.env["HEXHAIL_INTERNAL_PORT"] for spec in specs(["api"], settings)] == ["7000", "7001"]


def test_two_cities_of_one_region_are_refused() -> None:
    with pytest.raises(ValueError, match="are both of region 'manhattan': give one another region_id"):
        load_cities([MANHATTAN, MANHATTAN])


def test_an_edge_whose_city_nobody_matches_is_refused(tmp_path: Path) -> None:
    served = [MANHATTAN, tmp_path / "north"]
    check_edge(tmp_path / "south" / ".." / "north", served)
    with pytest.raises(ValueError, match="HEXHAIL_CITY_DIR must name one of HEXHAIL_CITY_DIRS"):
        check_edge(tmp_path / "south", served)


def test_what_one_process_does_for_all_cities_must_be_the_same_in_all() -> None:
    assert common_to("ingest", [1, 1]) == 1
    with pytest.raises(ValueError, match=r"the sections \[ingest\] of the cities differ"):
        common_to("ingest", [1, 2])


def test_a_city_that_removes_positions_before_they_are_stale_is_refused(tmp_path: Path) -> None:
    city = shutil.copytree(MANHATTAN, tmp_path / "city")
    assert len(load_cities([city])) == 1
    with (city / "city.toml").open("a") as file:
        file.write("\n[cells]\nremove_after_s = 60.0\n")
    with pytest.raises(
        ValueError, match=r"remove_after_s is 60; expected more than \[dispatch\] stale_after_s, which is 60"
    ):
        load_cities([city])
