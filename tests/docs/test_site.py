"""The documentation site: every key of the configuration is explained, every state drawn, every link works."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from dispatch.model import DispatchParams, RideState
from docs.site import commands, configuration, http_api, ride_life
from docs.site.__main__ import stage
from docs.site.pages import BrokenLink, Page, linked
from hexhail.cities.sections import PARAMS


def test_every_key_of_a_citys_file_is_in_the_reference_with_its_meaning() -> None:
    page = configuration.page()
    for params in PARAMS:
        assert f"`[{params.SECTION}]`" in page
        for field in fields(params):
            assert f"`{field.name}`" in page or f".{field.name}]" in page
    meanings = configuration.meanings_of(DispatchParams)
    assert meanings["max_wait_s"] == "A request without a driver after this long expires."
    assert configuration.unit_of("pickup_eta_s_max") == "seconds"


def test_the_pages_made_from_the_code_name_what_they_are_made_of() -> None:
    assert all(state.value in ride_life.page() for state in RideState)
    assert "hexhail city check" in commands.page()
    assert "`POST /v1/quotes`" in http_api.page()


def test_a_link_between_files_becomes_a_link_between_pages() -> None:
    places = {"docs/tariff.md": "tariff.md", "README.md": "index.md"}
    page = Page("docs/tutorials/a-policy-of-your-own.md", "tutorials/a-policy-of-your-own.md")
    assert linked("[t](../tariff.md#x)", page, places) == "[t](../tariff.md#x)"
    assert linked("[home](../../README.md)", page, places) == "[home](../index.md)"
    assert linked("[code](../../geo/cells.py)", page, places) == "`code`"
    assert linked("```\n[t](nowhere.md)\n```", page, places) == "```\n[t](nowhere.md)\n```"
    with pytest.raises(BrokenLink, match=r"nowhere\.md"):
        linked("[t](nowhere.md)", page, places)


def test_every_page_of_the_project_is_staged_and_no_link_is_broken(tmp_path: Path) -> None:
    stage(tmp_path)
    assert (tmp_path / "index.md").is_file()
    assert (tmp_path / "reference" / "configuration.md").is_file()
    assert len(list(tmp_path.rglob("*.md"))) > 60
