"""The command line."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from hexhail.cities.files import write_city_file
from hexhail.runtime import embedded
from hexhail.runtime.settings import MANHATTAN
from tests.hexhail.command_line import hexhail, hexhail_process
from tests.patience import PATIENCE_S

COMPARED = ("--city=nowhere", "--requests=r.csv", "--drivers=d.csv", "--out=o")
SECRETS = '{"k1": "0123456789abcdef0123456789abcdef"}'


def test_help_lists_what_is_there_and_nothing_else() -> None:
    done = hexhail_process("--help")
    assert done.returncode == 0
    listed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("│ ") and line[2].isalpha()}
    assert listed == {
        "demo", "serve", "city", "simulate", "compare", "replay", "export", "pings", "bench", "doctor", "token",
        "trace", "keys", "gateway",
    }  # fmt: skip


def test_help_does_not_wait_for_compilers() -> None:
    code = "import sys; from hexhail.cli.app import app; sys.exit(bool({'numba', 'faust', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=PATIENCE_S).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo", "--seconds", "-1"), "--seconds must be positive, not -1.0"),
        (("demo", "--speed", "0"), "--speed must lie between 0 and 60"),
        (("demo", "--from", "25:99"), "--from must be a time of day such as 20:00, not '25:99'"),
        (("serve", "cook"), "there is no role 'cook': choose one of api, ingester, matcher, pricer, relay"),
        (("city", "build", "--out", "nowhere"), "give either --osm FILE, or both --nodes FILE and --edges FILE"),
        (("city", "show", "nowhere"), "nowhere/city.toml does not exist"),
        (("city", "check", "nowhere"), "nowhere/city.toml does not exist"),
        (("token", "--role", "king"), "'king' is not a valid Role"),
        (("export", "nowhere"), "nowhere/hexhail.db does not exist"),
        (("replay", "rides", "nowhere"), "nowhere has neither events.parquet nor events.jsonl.gz"),
        (("compare", "optimal", *COMPARED), "a comparison needs two arms or more"),
        (("compare", "optimal", "fast", *COMPARED), "nowhere/city.toml does not exist"),
        (("compare", "optimal", "greedy", "--burn-in=5", *COMPARED), "--burn-in belongs to --switchback"),
        (("replay", "pings", "nowhere.csv"), "No such file or directory: 'nowhere.csv'"),
    ],
)
def test_a_wrong_word_gets_a_clear_answer(arguments: Any, message: str) -> None:
    done = hexhail(*arguments, HEXHAIL_TOKEN_SECRETS=SECRETS)
    assert done.returncode in (1, 2)
    assert message in done.stderr


@pytest.mark.parametrize("role", ["api", "matcher", "relay", "ingester", "pricer"])
def test_a_role_without_redis_says_which_address_it_tried_and_what_to_do(role: Any, tmp_path: Path) -> None:
    port = embedded.free_port()
    done = hexhail_process(
        "serve",
        role,
        HEXHAIL_REDIS_URL=f"redis://127.0.0.1:{port}/0",
        HEXHAIL_DATABASE_URL=f"sqlite:///{tmp_path}/hexhail.db",
        HEXHAIL_DATA_DIR=str(tmp_path),
        HEXHAIL_API_PORT="0",
        HEXHAIL_TOKEN_SECRETS=SECRETS,
    )
    assert done.returncode != 0
    assert f"Redis does not answer at redis://127.0.0.1:{port}/0" in done.stderr
    assert "set HEXHAIL_REDIS_URL" in done.stderr


@pytest.mark.servers
def test_a_role_without_a_broker_says_which_address_it_tried_and_what_to_do(valkey_port: int, tmp_path: Path) -> None:
    port = embedded.free_port()
    done = hexhail_process(
        "serve",
        "relay",
        HEXHAIL_REDIS_URL=f"redis://127.0.0.1:{valkey_port}/0",
        HEXHAIL_BROKER_URL=f"127.0.0.1:{port}",
        HEXHAIL_DATABASE_URL=f"sqlite:///{tmp_path}/hexhail.db",
    )
    assert done.returncode == 1
    assert f"The Kafka broker does not answer at 127.0.0.1:{port}" in done.stderr


@pytest.mark.servers
def test_the_doctor_finds_everything_well_where_it_is(valkey_port: int, broker_port: int, tmp_path: Path) -> None:
    done = hexhail(
        "doctor",
        HEXHAIL_REDIS_URL=f"redis://127.0.0.1:{valkey_port}/0",
        HEXHAIL_BROKER_URL=f"127.0.0.1:{broker_port}",
        HEXHAIL_DATABASE_URL=f"sqlite:///{tmp_path}/hexhail.db",
        HEXHAIL_TOKEN_SECRETS=SECRETS,
    )
    assert done.returncode == 0, done.stdout
    assert "fails" not in done.stdout
    assert not (tmp_path / "hexhail.db").exists()


@pytest.mark.servers
def test_the_doctor_names_functions_of_other_versions_and_removes_them_when_told(
    valkey_port: int, tmp_path: Path
) -> None:
    settings = {
        "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0",
        "HEXHAIL_BROKER_URL": f"127.0.0.1:{embedded.free_port()}",
        "HEXHAIL_DATABASE_URL": f"sqlite:///{tmp_path}/hexhail.db",
        "HEXHAIL_TOKEN_SECRETS": SECRETS,
        "COLUMNS": "400",
    }
    with Redis(port=valkey_port) as redis:
        redis.function_flush()
        for number, name in enumerate(("hexhail_cells", "hexhail_leases_0123456789ab", "somebody_elses")):
            redis.function_load(f"#!lua name={name}\nredis.register_function('f{number}', function() return 77 end)")
        found = hexhail_process("doctor", **settings).stdout
        assert "2 of other versions: hexhail_cells, hexhail_leases_0123456789ab" in found
        assert "hexhail doctor --remove-old-functions" in found
        removed = hexhail_process("doctor", "--remove-old-functions", **settings).stdout
        assert "Removed from Redis: hexhail_cells, hexhail_leases_0123456789ab" in removed
        assert "of other versions" not in removed
        assert [library[1] for library in redis.function_list()] == [b"somebody_elses"]
        redis.function_flush()


def test_the_doctor_prints_the_remedy_for_what_fails(tmp_path: Path) -> None:
    port = embedded.free_port()
    done = hexhail_process(
        "doctor",
        HEXHAIL_REDIS_URL=f"redis://127.0.0.1:{port}/0",
        HEXHAIL_BROKER_URL=f"127.0.0.1:{port}",
        HEXHAIL_DATABASE_URL=f"sqlite:///{tmp_path}/no/such/folder/hexhail.db",
        HEXHAIL_CITY_DIRS=f"{MANHATTAN}{os.pathsep}{tmp_path}",
        COLUMNS="400",
    )
    assert done.returncode == 1
    for remedy in ("set HEXHAIL_REDIS_URL", "set HEXHAIL_BROKER_URL", "HEXHAIL_CITY_DIRS", "openssl rand -hex"):
        assert remedy in done.stdout


def test_a_built_city_gets_a_city_file_once(tmp_path: Path) -> None:
    assert write_city_file(tmp_path, name="Sankt Gallen", timezone="UTC", currency="CHF", is_osm=True)
    text = (tmp_path / "city.toml").read_text()
    assert 'region_id = "sankt-gallen"' in text
    (tmp_path / "city.toml").write_text("mine")
    assert not write_city_file(tmp_path, name="Other", timezone="UTC", currency="CHF", is_osm=True)
    assert (tmp_path / "city.toml").read_text() == "mine"


@pytest.mark.parametrize(("name", "currency"), [('a"b', "CHF"), ("a\nb", "CHF"), ("fine", "franc")])
def test_a_name_or_currency_that_would_break_the_file_is_refused(tmp_path: Path, name: str, currency: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        write_city_file(tmp_path, name=name, timezone="UTC", currency=currency, is_osm=False)
    assert list(Path(tmp_path).iterdir()) == []


def test_a_simulated_day_leaves_its_figures_and_all_its_events(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text("node,lat,lng\n0,0,0\n1,0,0.001\n2,0.001,0\n")
    (tmp_path / "edges.csv").write_text("source,target,length_m,travel_time_s\n0,1,111,10\n1,2,157,20\n2,0,111,10\n")
    (tmp_path / "requests.csv").write_text(
        "t_s,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,party_size\n0,0,0,0,0.001,1\n1,0,0,x,0,1\n"
    )
    (tmp_path / "drivers.csv").write_text("lat,lng\n0.001,0\n")
    files = [f"--{name}={tmp_path / name}.csv" for name in ("nodes", "edges", "requests", "drivers")]
    assert hexhail("city", "build", f"--out={tmp_path}/town", *files[:2]).returncode == 0
    simulate = ("simulate", f"--city={tmp_path}/town", *files[2:], f"--out={tmp_path}/out", "--acceptance=always")
    refused = hexhail(*simulate)
    assert refused.returncode == 1
    assert "requests.csv, line 3: dropoff_lat is 'x', not a number" in refused.stderr
    done = hexhail(*simulate, "--skip-bad", "--surge=off")
    assert done.returncode == 0, done.stderr
    assert "1 bad rows left out" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary) == [
        "requests", "completed", "cancelled", "expired", "service_rate", "pickup_wait_s", "deadhead_share",
        "utilisation", "income_gini", "cpu_s", "wall_s", "requests_per_cpu_s", "events_sha256", "policy",
        "policy_faults", "city", "seed", "version",
    ]  # fmt: skip
    assert (summary["completed"], summary["pickup_wait_s"]["mean"]) == (1, 12.0)
    assert len(list((tmp_path / "out").glob("events.*"))) == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "http" not in page
    noisy = hexhail(*simulate, "--skip-bad", "--surge=off", "--gps-noise-m=5")
    assert "pings believed" in noisy.stdout
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["gps"]["pings_accepted"] > 0
    wrong = hexhail(*simulate, "--skip-bad", "--policy=guess")
    assert "there is no policy 'guess': choose" in wrong.stderr


@pytest.mark.parametrize("code", ["HRK", "BGN", "ANG", "usd", "XAU", "XXX", "EURO"])
def test_a_code_that_is_no_current_currency_is_refused_before_anything_is_built(tmp_path: Path, code: str) -> None:
    (tmp_path / "nodes.csv").write_text("node,lat,lng\na,0,0\nb,0,0.001\n")
    (tmp_path / "edges.csv").write_text("source,target,length_m,travel_time_s\na,b,111,9\nb,a,111,9\n")
    files = ("--nodes", str(tmp_path / "nodes.csv"), "--edges", str(tmp_path / "edges.csv"))
    refused = hexhail("city", "build", *files, "--out", str(tmp_path / "town"), "--currency", code)
    assert refused.returncode == 1
    assert f"--currency must be a current currency of ISO 4217 in capital letters, such as USD, not '{code}'" in (
        refused.stderr
    )
    assert not (tmp_path / "town").exists()


def test_a_region_with_a_currency_of_the_past_is_refused(tmp_path: Path) -> None:
    write_city_file(tmp_path, name="Town", timezone="UTC", currency="EUR", is_osm=False)
    path = tmp_path / "city.toml"
    path.write_text(path.read_text().replace('"EUR"', '"HRK"'))
    for command in ("show", "check"):
        refused = hexhail("city", command, str(tmp_path))
        assert refused.returncode == 1
        assert "currency must be a current currency of ISO 4217" in refused.stderr


def revoked_in(port: int) -> dict[str, Any]:
    with Redis(port=port) as redis:
        held: Any = redis.hgetall("{tokens}:revoked")
        return {name.decode(): json.loads(value) for name, value in held.items()}


@pytest.mark.servers
def test_token_revoke_takes_a_token_its_id_or_a_subject(valkey_port: int, tmp_path: Path) -> None:
    settings = {
        "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0",
        "HEXHAIL_DATABASE_URL": f"sqlite:///{tmp_path}/hexhail.db",
        "HEXHAIL_TOKEN_SECRETS": SECRETS,
    }
    with Redis(port=valkey_port) as redis:
        redis.flushall()
    token = hexhail("token", "--role", "driver", "--subject", "dora", **settings).stdout.strip()
    done = hexhail("token", "revoke", "--token", token, "--reason", "a lost phone", **settings)
    assert done.returncode == 0, done.stderr
    [(name, entry)] = revoked_in(valkey_port).items()
    assert name.startswith("token:")
    assert done.stdout == f"revoked {name}\n"
    assert entry["reason"] == "a lost phone"
    assert entry["until_ms"] - entry["revoked_ms"] <= 3605_000
    hexhail("token", "revoke", "--id", "t2", "--reason", "leaked", **settings)
    hexhail("token", "revoke", "--role", "rider", "--subject", "rita", "--reason", "left", **settings)
    assert set(revoked_in(valkey_port)) == {name, "token:t2", "subject:rider:rita"}
    with closing(sqlite3.connect(tmp_path / "hexhail.db")) as lasting:
        kept = {row[0] for row in lasting.execute("SELECT name FROM revocations")}
    assert kept == set(revoked_in(valkey_port))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give one of --token, --id, or --role with --subject"),
        (("--role", "rider"), "give one of --token, --id, or --role with --subject"),
        (("--id", "t", "--role", "rider", "--subject", "rita"), "give one of --token"),
        (("--role", "king", "--subject", "rita"), "'king' is not a valid Role"),
        (("--role", "rider", "--subject", "no id"), "'no id' is no id of a rider"),
        (("--token", "x.y.z"), "nothing to revoke: the token is refused as it is"),
    ],
)
def test_token_revoke_says_what_it_needs(options: tuple[str, ...], message: str) -> None:
    done = hexhail("token", "revoke", "--reason", "why not", *options, HEXHAIL_TOKEN_SECRETS=SECRETS)
    assert done.returncode == 1
    assert message in done.stderr
