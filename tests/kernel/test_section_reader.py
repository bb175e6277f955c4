"""Every section of a city's file is read by one strict reader, whose errors name line, key and what was expected."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dispatch.model import DispatchParams
from dispatch.weights import ScoreWeights
from geo.city import CITY_FILE, Region
from hexhail.cities.sections import PARAMS, load_checked_city
from hexhail.cli.app import app
from hexhail.runtime.settings import MANHATTAN
from kernel.section_reader import ParamsRefused, Sections, read_params, refusals_of
from location_ingest.model import IngestParams
from tests.patience import PATIENCE_S

#: (class, key) of every key of a city's file that has a parameter.
KEYS = [(params, field.name) for params in PARAMS for field in fields(params)]
REGION = (MANHATTAN / CITY_FILE).read_text(encoding="utf-8")


def city_with(tmp_path: Path, text: str) -> Path:
    """Manhattan with more in its file."""
    folder = tmp_path / "city"
    shutil.copytree(MANHATTAN, folder)
    (folder / CITY_FILE).write_text(REGION + text, encoding="utf-8")
    return folder


def a_wrong_value(kind: Any) -> str:
    """A value in TOML that is of another type than wanted."""
    return "7" if kind is str or is_dataclass(kind) else '"300"'


@pytest.mark.parametrize(("params", "key"), KEYS)
def test_a_value_of_the_wrong_type_is_refused_with_its_line(params: type[Any], key: str) -> None:
    lines = ["", f"[{params.SECTION}]", f"{key} = {a_wrong_value(get_type_hints(params)[key])}"]
    if params.SECTION == "region":
        head = REGION.split("[tariff]")[0].splitlines()
        lines = [line if not line.startswith(f"{key} =") else lines[-1] for line in head]
    with pytest.raises(ParamsRefused) as refused:
        read_params(Sections("\n".join(lines), "city.toml"), params)
    assert refused.value.line == lines.index(f"{key} = {a_wrong_value(get_type_hints(params)[key])}") + 1
    assert key in refused.value.key


def test_a_check_names_every_mistake_of_a_section_with_its_line(tmp_path: Path) -> None:
    folder = city_with(tmp_path, '\n[dispatch]\nwindow_s = "2"\noffer_life_s = "x"\n[dispatch.score]\nidel = 1.0\n')
    first = len(REGION.splitlines()) + 2
    checked = CliRunner().invoke(app, ["city", "check", str(folder)])
    assert checked.exit_code == 1
    shown = "".join(checked.output.split("\n"))
    for line, key in ((first + 1, "batch_window_s"), (first + 2, "offer_ttl_s"), (first + 4, "idel")):
        assert f"city.toml:{line}: [dispatch" in shown
        assert key in shown


def test_a_mistake_in_a_key_without_a_default_is_named_once() -> None:
    head = REGION.split("[tariff]")[0].replace('name = "', 'name = 7 # "')
    (refused,) = refusals_of(Sections(head, "city.toml"), Region)
    assert refused.key == "[region] name"


@pytest.mark.parametrize(("params", "key"), KEYS)
@given(st.data())
def test_a_misspelt_key_is_refused_and_the_right_one_suggested(
    params: type[Any], key: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(key) - 1))
    misspelt = key[:at] + "x" + key[at:]
    with pytest.raises(ParamsRefused, match=f"{misspelt} is not a key of this section") as refused:
        read_params({params.SECTION: {misspelt: 1}}, params)
    # Another key may look even more alike, but some key is suggested.
    assert "perhaps" in refused.value.expected


def test_defaults_stand_for_what_a_file_does_not_say() -> None:
    assert read_params({}, DispatchParams) == DispatchParams()
    sections = Sections("[dispatch]\nmax_wait_s = 60\n[dispatch.score]\nidle = 1\n", "city.toml")
    assert read_params(sections, DispatchParams) == DispatchParams(max_wait_s=60.0, score=ScoreWeights(idle=1.0))


def test_values_that_do_not_go_together_are_refused_with_the_line_of_one_of_them() -> None:
    text = "[surge]\n\ntick_s = 60\nprice_life_s = 120\n"
    from pricing.model.surge import SurgeParams

    with pytest.raises(ParamsRefused, match="price_life_s must be at least four ticks") as refused:
        read_params(Sections(text, "city.toml"), SurgeParams)
    assert refused.value.line == 4


def test_a_text_that_is_no_toml_is_refused_with_its_line() -> None:
    with pytest.raises(ParamsRefused, match="not TOML") as refused:
        Sections("[region]\nname = \n", "city.toml")
    assert refused.value.line == 2


WRONG = '\n[ingest]\nage_s_max = "300"\n'
SAID = f"city.toml:{len(REGION.splitlines()) + 3}: [ingest] age_s_max is '300'; expected float"


def test_the_command_that_checks_a_city_says_which_line_is_wrong(tmp_path: Path) -> None:
    folder = city_with(tmp_path, f"{WRONG}\n[surge]\ncap = 3.0\n\n[dispach]\n")
    result = CliRunner().invoke(app, ["city", "check", str(folder)])
    assert result.exit_code == 1
    for told in (SAID, "[surge] cap is not a key of this section", "[dispach] is not a section; expected dispatch"):
        assert told in result.stderr.replace("\n", "")
    assert CliRunner().invoke(app, ["city", "check", str(MANHATTAN)]).exit_code == 0


@pytest.mark.parametrize("role", [["api"], ["ingester"], ["matcher"], ["pricer"], []])
def test_each_role_and_the_supervisor_of_all_refuse_a_wrong_file_in_one_line(tmp_path: Path, role: list[str]) -> None:
    folder = city_with(tmp_path, WRONG)
    ended = subprocess.run(
        [sys.executable, "-m", "hexhail", "serve", *role],
        env=os.environ | {"HEXHAIL_CITY_DIR": str(folder), "HEXHAIL_REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert SAID in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_simulation_refuses_a_wrong_file_in_one_line(tmp_path: Path) -> None:
    folder = city_with(tmp_path, WRONG)
    files = ["--requests", "none.csv", "--drivers", "none.csv", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["simulate", "--city", str(folder), *files])
    assert result.exit_code == 1
    assert SAID in result.stderr.replace("\n", "")


def test_a_city_that_is_loaded_for_serving_has_every_section_checked(tmp_path: Path) -> None:
    assert load_checked_city(city_with(tmp_path, "\n[ingest]\nage_s_max = 200\n")).sections["ingest"] == {
        "age_s_max": 200
    }
    with pytest.raises(ParamsRefused):
        load_checked_city(city_with(tmp_path / "wrong", WRONG))
    assert read_params(Sections(REGION, "city.toml"), IngestParams) == IngestParams()
