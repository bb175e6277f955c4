"""Runs a city on this machine: servers, services, riders and drivers; reports figures at the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec

from hexhail.demo.apis import api_specs, internal_ports, port_names
from hexhail.runs.run_folder import ROUNDS_FOLDER
from hexhail.runs.summary import Summary, summarise
from hexhail.runtime import embedded
from hexhail.runtime.settings import MANHATTAN
from hexhail.runtime.supervisor import Spec, Supervisor

#: Default start time: a busy evening of the data, about one request in two seconds.
DEFAULT_TIME_OF_DAY = "20:30"
#: Wall seconds that everything may take to come up on a slow machine, kernels compiled.
READY_S_MAX = 90.0
#: Wall seconds for the last events to be delivered after the riders have left.
DRAIN_S_MAX = 10.0
#: The embedded broker lets a member join after a third of this.
EMBEDDED_SESSION_S = 3.0
#: API processes on one machine: each takes some 250 MB.
APIS_MAX = 8
ROLES_OF_DEMO = ("relay", "matcher", "ingester", "pricer", "traffic", "api")


@dataclass(frozen=True)
class DemoParams:
    """What to run."""

    city_dir: Path = MANHATTAN
    run_dir: Path = Path("hexhail-run")
    cache_dir: Path = Path(".cache")
    #: Wall seconds of city life; None until Ctrl-C.
    seconds: float | None = None
    speed: float = 5.0
    drivers: int = 300
    seed: int = 1
    port: int = 8080
    #: API processes; several stand behind the gateway.
    apis: int = 1
    #: None for SQLite in the run folder.
    database_url: str | None = None
    #: None for a Valkey of the city's own.
    redis_url: str | None = None
    #: Local time of the data's day at which the city wakes, HH:MM.
    time_of_day: str = DEFAULT_TIME_OF_DAY

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"--seconds must be positive, not {self.seconds}")
        if not 0 < self.speed <= 60:
            raise ValueError(f"--speed must lie between 0 and 60, not {self.speed}")
        if not 1 <= self.apis <= APIS_MAX:
            raise ValueError(f"--apis must lie between 1 and {APIS_MAX}, not {self.apis}")
        if not 1 <= self.drivers <= 2000:
            raise ValueError(f"--drivers must lie between 1 and 2000, not {self.drivers}")
        if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", self.time_of_day):
            raise ValueError(f"--from must be a time of day such as 20:00, not {self.time_of_day!r}")


@dataclass
class Demo:
    """A running city."""

    params: DemoParams
    say: Callable[[str], None]
    ports: dict[str, int]
    env: dict[str, str]
    supervisor: Supervisor
    token: str
    began_s: float = field(default_factory=time.monotonic)

    @property
    def url(self) -> str:
        """The API's internal address, for operators and the map; it serves everything."""
        return _url(self.ports["internal"])

    @property
    def public_url(self) -> str:
        """The address for riders and drivers."""
        return _url(self.ports["api"])

    async def read(self, path: str) -> dict[str, Any]:
        """GET from the API as an operator."""
        async with httpx.AsyncClient(base_url=self.url, timeout=5.0) as client:
            answer = await client.get(path, headers={"Authorization": f"Bearer {self.token}"})
            answer.raise_for_status()
            read: dict[str, Any] = answer.json()
            return read


@asynccontextmanager
async def running_city(params: DemoParams, say: Callable[[str], None]) -> AsyncIterator[Demo]:
    """Run a city without people; all processes are stopped on exit, also after an error."""
    params.run_dir.mkdir(parents=True, exist_ok=True)
    ports = _choose_ports(params, say)
    env = _environment(params, ports)
    _write_env(params.run_dir / "city.env", env, ports)
    supervisor = Supervisor(params.run_dir / "logs")
    demo = Demo(params, say, ports, env, supervisor, _operator_token(env))
    try:
        say("starting Valkey and the broker, compiling kernels")
        await supervisor.start(Spec("broker", embedded.broker_command(ports["broker"])))
        await asyncio.gather(
            _own_valkey(params, supervisor, ports["redis"]),
            embedded.wait_for_port(ports["broker"], "the broker"),
            _warm_up(params, env),
        )
        say(f"starting {', '.join(ROLES_OF_DEMO)}")
        for spec in _role_specs(params, ports, env):
            await supervisor.start(spec)
        await _until_ready(demo)
        yield demo
    finally:
        await supervisor.close()


def _role_specs(params: DemoParams, ports: Mapping[str, int], env: Mapping[str, str]) -> list[Spec]:
    found = []
    for role in ROLES_OF_DEMO:
        if role == "api":
            found += api_specs(params.apis, ports, env, params.run_dir)
        else:
            command = [sys.executable, "-m", "hexhail", "serve", role]
            found.append(Spec(role, command, {**env, "HEXHAIL_METRICS_PORT": str(ports[f"{role}_metrics"])}))
    return found


async def _own_valkey(params: DemoParams, supervisor: Supervisor, port: int) -> None:
    """Start Valkey, unless the city has another one. Raises TimeoutError."""
    if params.redis_url is None:
        await supervisor.start(Spec("valkey", embedded.valkey_command(port, params.run_dir / "valkey")))
        await embedded.wait_for_port(port, "Valkey")


def _choose_ports(params: DemoParams, say: Callable[[str], None]) -> dict[str, int]:
    port = params.port
    if port and not embedded.is_free(port):
        port = 0
        say(f"port {params.port} is taken: choosing another one")
    names = ["api", "redis", "broker", *(f"{role}_metrics" for role in ROLES_OF_DEMO if role != "api")]
    names += port_names(params.apis)
    return {"internal": port or embedded.free_port(), **dict(zip(names, embedded.free_ports(len(names)), strict=True))}


def _environment(params: DemoParams, ports: Mapping[str, int]) -> dict[str, str]:
    """The settings of every process: the same three numbers of the clock, the same addresses, a fresh secret."""
    database = (params.run_dir / "hexhail.db").resolve()
    return {
        "HEXHAIL_CITY_DIR": str(params.city_dir.resolve()),
        "HEXHAIL_REDIS_URL": params.redis_url or f"redis://127.0.0.1:{ports['redis']}/0",
        "HEXHAIL_BROKER_URL": f"127.0.0.1:{ports['broker']}",
        "HEXHAIL_DATABASE_URL": params.database_url or f"sqlite:///{database}",
        "HEXHAIL_API_PORT": str(ports["api"]),
        "HEXHAIL_INTERNAL_PORT": str(ports["internal"]),
        "HEXHAIL_API_DOCS": "true",
        "HEXHAIL_RECORD_DIR": str((params.run_dir / ROUNDS_FOLDER).resolve()),
        "HEXHAIL_DATA_DIR": str((params.run_dir / "workers").resolve()),
        "HEXHAIL_BROKER_SESSION_TIMEOUT_S": str(EMBEDDED_SESSION_S),
        "HEXHAIL_TOKEN_SECRETS": json.dumps({"demo": secrets.token_hex(32)}),
        "HEXHAIL_CLOCK_SPEED": repr(params.speed),
        "HEXHAIL_CLOCK_CITY_S": repr(_city_start_s(params)),
        "HEXHAIL_CLOCK_WALL_S": repr(time.time()),
        "NUMBA_CACHE_DIR": str((params.cache_dir / "numba").resolve()),
    }


def _write_env(path: Path, env: Mapping[str, str], ports: Mapping[str, int]) -> None:
    """Leave the city's settings where a developer's shell can read them: `set -a; . city.env`.

    `HEXHAIL_API_URL` is the internal address, which serves every route; `HEXHAIL_PUBLIC_URL` that for phones.
    """
    path.touch(mode=0o600)  # there are secrets in it
    urls = {"HEXHAIL_API_URL": _url(ports["internal"]), "HEXHAIL_PUBLIC_URL": _url(ports["api"])}
    lines = [f"{name}={shlex.quote(value)}" for name, value in {**env, **urls}.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _city_start_s(params: DemoParams) -> float:
    """The time of day on the first day of the city's requests, as Unix seconds."""
    from geo.city import load_city
    from simulator.demand.requests import load_requests

    zone = ZoneInfo(load_city(params.city_dir).region.timezone)
    first = datetime.fromtimestamp(float(load_requests(params.city_dir).t_s[0]), zone)
    hour, minute = (int(part) for part in params.time_of_day.split(":"))
    return first.replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp()


def _operator_token(env: Mapping[str, str]) -> str:
    from api.auth.token_keys import TokenKeys
    from api.auth.tokens import Role, Tokens
    from kernel.keyring import KeyRing

    keys = KeyRing(json.loads(env["HEXHAIL_TOKEN_SECRETS"]))
    return Tokens(TokenKeys.of_secrets(keys)).issue(Role.OPERATOR, "demo", life_s=24 * 3600)


async def _warm_up(params: DemoParams, env: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hexhail.runtime.warm_up", str(params.city_dir), env={**os.environ, **env}
    )
    if await process.wait() != 0:
        raise RuntimeError("the kernels could not be compiled; the error stands above")


async def _until_ready(demo: Demo) -> None:
    """Return when every API says that all it needs answers. Raises TimeoutError with its last words."""
    deadline = time.monotonic() + READY_S_MAX
    for port in internal_ports(demo.params.apis, demo.ports):
        await _until_answered(demo, _url(port), ("/readyz", "/v1/ops/health"), deadline)
    if demo.params.apis > 1:
        await _until_answered(demo, demo.public_url, ("/readyz",), deadline)


async def _until_answered(demo: Demo, url: str, paths: Sequence[str], deadline_s: float) -> None:
    """Return when all paths are answered with 200. Raises TimeoutError."""
    said = "nothing"
    async with httpx.AsyncClient(base_url=url, timeout=3.0) as client:
        while time.monotonic() < deadline_s:
            await demo.supervisor.wait(0.1)
            try:
                answers = [await client.get(path) for path in paths]
                said = "; ".join(answer.text for answer in answers)
                if all(answer.status_code == 200 for answer in answers):
                    return
            except httpx.HTTPError as error:
                said = repr(error)
    logs = demo.params.run_dir / "logs"
    raise TimeoutError(f"the API at {url} was not ready after {READY_S_MAX:.0f} s; it said: {said}. See {logs}.")


async def run_demo(
    params: DemoParams, say: Callable[[str], None], progress: Callable[[dict[str, Any]], None]
) -> Summary:
    """Run the city with its people until the time is over or the user stops it; returns the summary.

    `say` gets sentences, `progress` the figures of each second.
    """
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, enough.set)
    began = time.monotonic()
    async with running_city(params, say) as demo:
        say(f"the city runs: {demo.url}/#token={demo.token}")
        say(f"riders and drivers see {demo.public_url}")
        figures_path = params.run_dir / "population.json"
        await demo.supervisor.start(_population(demo, figures_path))
        lived_s = await _live(demo, enough, progress, began)
        say("the riders go home; waiting for the last events")
        await demo.supervisor.stop("population")
        await demo.supervisor.stop("matcher")  # nothing happens any more: what is committed now is all there is
        await _drain(demo)
        totals = await demo.read("/v1/ops/totals")
    population = json.loads(figures_path.read_bytes()) if figures_path.is_file() else {}
    return await summarise(
        demo.env["HEXHAIL_DATABASE_URL"],
        totals=totals,
        population=population,
        lived_s=lived_s,
        restarts=demo.supervisor.restarts,
    )


def _population(demo: Demo, figures_path: Path) -> Spec:
    env = {
        **demo.env,
        "HEXHAIL_POPULATION_API_URL": demo.public_url,
        "HEXHAIL_POPULATION_DRIVERS": str(demo.params.drivers),
        "HEXHAIL_POPULATION_SEED": str(demo.params.seed),
        "HEXHAIL_POPULATION_FIGURES": str(figures_path.resolve()),
    }
    return Spec("population", [sys.executable, "-m", "hexhail.demo.population"], env)


async def _live(demo: Demo, enough: asyncio.Event, progress: Callable[[dict[str, Any]], None], began: float) -> float:
    """Wait until the end and report progress each second; returns the wall seconds that passed."""
    born = time.monotonic()
    limit_s = demo.params.seconds or float("inf")
    first_completed_s: float | None = None
    while not enough.is_set() and time.monotonic() - born < limit_s:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(1.0, max(0.0, limit_s - (time.monotonic() - born)))):
                await enough.wait()
        await demo.supervisor.wait(0.0)
        with suppress(httpx.HTTPError, msgspec.DecodeError):
            figures = await demo.read("/v1/ops/figures")
            if first_completed_s is None and figures["rides_completed"]:
                first_completed_s = time.monotonic() - began
                demo.say(f"first ride completed {first_completed_s:.0f} s after the start")
            progress({"elapsed_s": time.monotonic() - born, "limit_s": demo.params.seconds, **figures})
    return time.monotonic() - born


async def _drain(demo: Demo) -> None:
    """Wait until every committed event is published and consumed, or for so long as that should ever take."""
    deadline = time.monotonic() + DRAIN_S_MAX
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            totals = await demo.read("/v1/ops/totals")
            if totals["events_committed"] == totals["events_published"] == totals["events_consumed"]:
                return
        await asyncio.sleep(0.2)
    demo.say("some events were still on their way after the drain; the summary counts what arrived")
