"""Checks every part of an installation, and names the remedy for what fails."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from backing.kafka import TopicsRefused, read_topics
from backing.outbox.outbox import SqlOutbox
from backing.probes import WritesRefused, probe_broker, probe_redis, probe_sql
from backing.redis.address import parse_address
from backing.redis.functions import libraries_of, other_versions, remove_libraries
from backing.sql import migrate
from dispatch.adapters.round_files import FILE_BYTES_MAX
from dispatch.adapters.round_folder import RoundFolder
from hexhail.runtime.connections import DependencyMissing, connect_producer, connect_redis, region_partitions
from hexhail.runtime.database import SQL_PACKAGES, ProcessName, is_postgres, open_for_role
from hexhail.runtime.findings import Finding, region_finding, topic_findings
from hexhail.runtime.map_reports import AsideReports, MapReports, apart, aside_text
from hexhail.runtime.retention import DAY_S, kinds_of, recorded_rounds
from hexhail.runtime.settings import Settings
from hexhail.runtime.token_keys import load_issuers, load_token_keys
from kernel.contracts import redis_keys
from kernel.contracts.topics import ALL_TOPICS, PROBES_TOPIC

#: Clocks of hosts that differ by more than this make fresh positions look stale, or to come from the future.
CLOCK_SKEW_S_MAX = 1.0
#: Where the function libraries of Redis are.
FUNCTION_PACKAGES = (
    "api.abuse",
    "api.auth",
    "backing.inboxes",
    "dispatch.adapters",
    "location_ingest.adapters",
    "pricing.adapters",
    "traffic.adapters",
)

#: Connections that PostgreSQL has for others than its administrators.
CONNECTIONS_FOR_ALL = (
    "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
)

#: What to do about a store that answers and takes no writes.
WRITE_REMEDIES = {
    "Redis": "Is it a replica (name the primary in HEXHAIL_REDIS_URL), full (maxmemory), or unable to save to disk?",
    "broker": "Bring back the brokers that are away, or lower min.insync.replicas of the topics.",
    "SQL": "Is its disk full, is it read-only, or a standby (name the primary in HEXHAIL_DATABASE_URL)?",
}


async def examine() -> list[Finding]:
    """Check everything; a part that hangs is given up after a few seconds."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would say is said here, with the remedy
    settings = Settings()
    findings = [_python(), _kernels(), _cells(), _city(settings), _secrets(settings), _live_map(settings)]
    if (rounds := recorded_rounds(settings)) is not None:
        findings.append(_recorded_rounds(rounds, settings))
    for part, check in (
        ("Redis", _redis),
        ("broker", _broker),
        ("SQL", _sql),
    ):
        findings.append(await _guarded(part, lambda check=check: check(settings)))  # type: ignore[misc]
    if any(finding.part == "broker" and "next start creates" not in finding.seen for finding in findings):
        findings += await _topics(settings)
    if any(finding.part == "SQL" and "to be published" in finding.seen for finding in findings):  # up to date
        findings.append(await _guarded("oldest rows", lambda: _retention(settings)))
    if any(finding.part == "SQL" and finding.ok for finding in findings) and is_postgres(settings.database_url):
        findings.append(await _guarded("SQL connections", lambda: _connections(settings)))
    if any(finding.part == "Redis" and finding.ok for finding in findings):
        findings.append(await _guarded("Redis functions", lambda: _redis_functions(settings)))
        if any(finding.part == "city" and finding.ok for finding in findings):
            findings.append(await _guarded("matching", lambda: _matching(settings)))
            findings.append(await _guarded("learned traffic", lambda: _traffic(settings)))
            findings.append(await _guarded("maps", lambda: _maps(settings)))
    return findings


async def _guarded(part: str, check: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        async with asyncio.timeout(8.0):
            return await check()
    except TimeoutError:
        return Finding(part, ok=False, seen="no answer within 8 s", remedy="Is the address right, and not firewalled?")
    except WritesRefused as error:
        return Finding(part, ok=False, seen=f"answers, and refuses writes: {error}", remedy=WRITE_REMEDIES[part])
    except Exception as error:
        remedy = f"To serve a city it must be there; `hexhail demo` brings a {part} of its own."
        return Finding(part, ok=False, seen=str(error) or repr(error), remedy=remedy)


def _python() -> Finding:
    seen = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding("Python", sys.version_info >= (3, 11), seen, "Install Python 3.11 or newer.")


def _kernels() -> Finding:
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", ""))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding("kernel cache", ok=False, seen=str(error), remedy="Set NUMBA_CACHE_DIR to a writable folder.")
    kernels = sum(1 for _ in folder.rglob("*.nbc"))
    return Finding("kernel cache", ok=True, seen=f"{kernels} compiled kernels in {folder}")


def _cells() -> Finding:
    from geo import cells

    path = cells.path_in_use()
    return Finding("H3", ok=True, seen=path.reason, is_needed=False)


def _city(settings: Settings) -> Finding:
    from hexhail.cities.served import load_cities

    try:
        cities = load_cities(settings.city_folders)
    except (ValueError, OSError) as error:
        name = "HEXHAIL_CITY_DIRS to folders" if settings.city_dirs else "HEXHAIL_CITY_DIR to a folder"
        return Finding("city", ok=False, seen=str(error), remedy=f"Set {name} made by `hexhail city`.")
    seen = [f"{city.region.name}: {city.graph.node_count} nodes, {city.graph.edge_count} edges" for city in cities]
    return Finding("city", ok=True, seen="; ".join(seen))


def _secrets(settings: Settings) -> Finding:
    try:
        secrets, keys, issuers = settings.key_ring(), load_token_keys(settings), load_issuers(settings)
    except ValueError as error:
        if settings.token_secrets:
            return Finding("tokens", ok=False, seen=str(error), remedy="Mend the file that is named.")
        remedy = """Set HEXHAIL_TOKEN_SECRETS='{"k1": "<openssl rand -hex 32>"}'; the demo makes its own."""
        return Finding("tokens", ok=False, seen=str(error), remedy=remedy)
    signer = keys.signer(time.time())
    seen = f"{signer.key_id} signs with {signer.algorithm}; {len(secrets)} shared secrets, {len(issuers)} issuers"
    return Finding("tokens", ok=True, seen=seen)


def _live_map(settings: Settings) -> Finding:
    if (settings.web_dir / "index.html").is_file():
        return Finding("live map", ok=True, seen=f"built, in {settings.web_dir}", is_needed=False)
    node = "Run `make web`." if shutil.which("npm") else "Install Node 20 or newer and run `make web`."
    return Finding("live map", ok=False, seen="not built", remedy=node, is_needed=False)


async def _retention(settings: Settings) -> Finding:
    """How old the oldest row of each kind is, and how old it may become."""
    seen, is_kept_to = [], True
    async with await open_for_role(settings, "doctor", packages={}) as database:
        for kind in kinds_of(settings, database):
            oldest_s, limit = await kind.oldest_s(), f"of {kind.keep_days:g} days" if kind.keep_days else "for ever"
            age_days = 0.0 if oldest_s is None else (kind.now() - oldest_s) / DAY_S
            # A day more: deletion goes in small steps. The newest messages stay, however old they are.
            is_kept_to &= kind.name == "messages" or not kind.keep_days or age_days <= kind.keep_days + 1.0
            seen.append(f"{kind.name}: {'none' if oldest_s is None else f'{age_days:.1f} days'} {limit}")
    remedy = "Is the role relay running? It deletes what is older."
    return Finding("oldest rows", is_kept_to, "; ".join(seen), remedy, is_needed=False)


def _recorded_rounds(folder: RoundFolder, settings: Settings) -> Finding:
    """What the recorded rounds on this machine take, and how old they are."""
    kept, days, bytes_max = folder.kept(), settings.keep_rounds_days, settings.keep_rounds_bytes
    age_days = 0.0 if kept.oldest_s is None else (time.time() - kept.oldest_s) / DAY_S
    limits = f"of {days:g} days" if days else "for ever"
    room = f" of {bytes_max / 1e6:,.0f}" if bytes_max else ""
    seen = f"{kept.files} files, {kept.size_bytes / 1e6:,.1f}{room} MB; the oldest is {age_days:.1f} days old {limits}"
    # A file is a day at most, and goes with its last round; a day more, for deletion goes in small steps.
    ok = (not days or age_days <= days + 2.0) and (not bytes_max or kept.size_bytes <= 1.1 * bytes_max + FILE_BYTES_MAX)
    remedy = "Is the role matcher running on this machine? It deletes what is more."
    return Finding("recorded rounds", ok, seen, remedy, is_needed=False)


async def _redis(settings: Settings) -> Finding:
    redis = await connect_redis(settings)
    try:
        info = await redis.info("server")
        await probe_redis(redis, redis_keys.write_probe("doctor"))
        seconds, microseconds = await redis.time()
    finally:
        await redis.aclose()
    skew_s = abs(time.time() - (int(seconds) + int(microseconds) / 1e6))
    version = info.get("valkey_version") or info.get("redis_version")
    address = parse_address(settings.redis_url)  # without the password
    seen = f"{info.get('server_name', 'redis')} {version} at {address}, its clock within {skew_s:.2f} s of ours"
    return Finding("Redis", skew_s <= CLOCK_SKEW_S_MAX, seen, "Let NTP set the clocks of both hosts.")


async def _redis_functions(settings: Settings) -> Finding:
    ours = libraries_of(*FUNCTION_PACKAGES)
    redis = await connect_redis(settings)
    try:
        others = await other_versions(redis, ours)
    finally:
        await redis.aclose()
    seen = f"{len(ours)} libraries ship with this version"
    if not others:
        return Finding("Redis functions", ok=True, seen=seen, is_needed=False)
    seen += f"; the server holds {len(others)} of other versions: {', '.join(others)}"
    remedy = "When no other version runs any more: `hexhail doctor --remove-old-functions`."
    return Finding("Redis functions", ok=False, seen=seen, remedy=remedy, is_needed=False)


async def _maps(settings: Settings) -> Finding:
    """Whether all processes of each region have the map that is on disk here."""
    from hexhail.cities.served import load_cities

    redis, seen, agree = await connect_redis(settings), [], True
    try:
        for city in load_cities(settings.city_folders):
            map_of = await MapReports(redis, city.region.region_id).read()
            others = apart(map_of, city.places.map_id)
            aside = aside_text(await AsideReports(redis, city.region.region_id).read())
            agree &= not others and not aside
            ours = f"{len(map_of)} processes have the map on disk, {city.places.map_id}" if map_of else "nobody runs"
            seen.append(f"{city.region.region_id}: {others or ours}{f'; {aside}' if aside else ''}")
    finally:
        await redis.aclose()
    remedy = (
        "Each process takes a new map over within seconds: see the log of those that do not for `map_refused`. Learn "
        "files that are set aside again on the new map; they are used as soon as they fit."
    )
    return Finding("maps", agree, "; ".join(seen), remedy, is_needed=False)


async def _traffic(settings: Settings) -> Finding:
    from hexhail.cities.served import load_cities
    from kernel.section_reader import read_params
    from traffic.adapters.redis_weights import read_figures
    from traffic.model import LearnedTrafficParams

    now_s, redis = settings.clock().now_s(), await connect_redis(settings)
    seen, is_fresh = [], True
    try:
        for city in load_cities(settings.city_folders):
            params, region_id = read_params(city.sections, LearnedTrafficParams), city.region.region_id
            figures = await read_figures(redis, region_id)
            if not params.is_on or figures.made_s is None:
                seen.append(f"{region_id}: {'nothing in force yet' if params.is_on else 'switched off'}")
                continue
            age_s = now_s - figures.made_s
            is_fresh &= age_s <= params.keep_s
            refused = f", last refusal: {figures.refusal}" if figures.refusal else ""
            seen.append(f"{region_id}: version {figures.version}, {age_s:.0f} s old{refused}")
    finally:
        await redis.aclose()
    remedy = "Travel times are the usual ones: is the role traffic running, and why are updates refused? See its log."
    return Finding("learned traffic", is_fresh, "; ".join(seen), remedy, is_needed=False)


async def _matching(settings: Settings) -> Finding:
    from dispatch.adapters.redis_rounds import last_round
    from hexhail.cities.served import load_cities
    from workflows.offering import SILENT_AFTER_S

    clock, redis, seen, is_run = settings.clock(), await connect_redis(settings), [], True
    try:
        for city in load_cities(settings.city_folders):
            region_id = city.region.region_id
            last = await last_round(redis, region_id)
            age_s = None if last is None else clock.wall_duration_s(clock.now_s() - last.at_s)
            is_run &= age_s is not None and age_s <= SILENT_AFTER_S
            seen.append(f"{region_id}: {'no round yet' if age_s is None else f'last round {age_s:.0f} s ago'}")
    finally:
        await redis.aclose()
    remedy = "Rides are taken and wait: is the role matcher running, and what does its log say?"
    return Finding("matching", is_run, "; ".join(seen), remedy, is_needed=False)


async def remove_old_functions(settings: Settings) -> list[str]:
    """Delete the function libraries of other versions; return their names. Raises DependencyMissing."""
    redis = await connect_redis(settings)
    try:
        others = await other_versions(redis, libraries_of(*FUNCTION_PACKAGES))
        await remove_libraries(redis, others)
    finally:
        await redis.aclose()
    return others


async def _broker(settings: Settings) -> Finding:
    producer = await connect_producer(settings)
    try:
        cluster = await producer.client.fetch_all_metadata()
        brokers, has_topic = len(cluster.brokers()), PROBES_TOPIC in cluster.topics()
        if has_topic:  # writing to one that is not there may create it
            await probe_broker(producer, PROBES_TOPIC, 0)
    finally:
        await producer.stop()
    writes = "" if has_topic else "; the next start creates its topics"
    return Finding("broker", ok=True, seen=f"{brokers} of them, at {settings.broker_url}{writes}")


async def _topics(settings: Settings) -> list[Finding]:
    """What is to be said of topics and the partitions of regions; nothing where no broker answers: that is said."""
    from aiokafka.errors import KafkaError

    try:
        async with asyncio.timeout(8.0):
            brokers, states = await read_topics(settings.broker_url, ALL_TOPICS, settings.security())
        found = topic_findings(states, brokers, settings.copies())
    except (KafkaError, OSError, TimeoutError):
        return []
    except (TopicsRefused, ValueError) as error:
        return [Finding("topics", ok=False, seen=str(error), remedy="See the settings HEXHAIL_TOPIC_….")]
    try:
        partitions = region_partitions(settings)
    except DependencyMissing as error:
        return [*found, Finding("regions", ok=False, seen=str(error), remedy="See HEXHAIL_REGION_PARTITIONS.")]
    return [*found, region_finding(partitions)]


async def _sql(settings: Settings) -> Finding:
    name = settings.database_url.removeprefix("sqlite:///")
    if name != settings.database_url and not Path(name).exists():
        # Opening it would create it; looking must not.
        ok = os.access(Path(name).resolve().parent, os.W_OK)
        return Finding("SQL", ok, f"SQLite, {name} will be created", "Make its folder writable.")
    # Without packages: opening it with them would bring it up to date while older processes may still use it.
    async with await open_for_role(settings, "doctor", packages={}) as database:
        present = await database.run(lambda: migrate.applied(database.dialect))
        newest = migrate.newest_versions(database.dialect, SQL_PACKAGES)
        migrate.check_lives_with(present, newest)
        versions = {file.package: file.version for file in sorted(present)}
        if any(versions.get(package, 0) < version for package, version in newest.items()):
            seen = f"schema {_schema(versions) or 'none'}, the next start makes it {_schema(newest)}"
            return Finding("SQL", ok=True, seen=seen)
        await probe_sql(database)
        committed, published = await SqlOutbox(database).progress()
    seen = f"{committed} messages, {committed - published} to be published; schema {_schema(versions)}"
    if versions != newest:
        seen += ", which is newer than this hexhail's and lets it run beside a newer version"
    return Finding("SQL", ok=True, seen=seen)


async def _connections(settings: Settings) -> Finding:
    """Whether the processes that run may open more connections together than the server takes."""
    if settings.database_pooler:
        seen = "a pooler shares them out; its default_pool_size and max_client_conn are the limits"
        return Finding("SQL connections", ok=True, seen=seen, is_needed=False)
    async with await open_for_role(settings, "doctor", packages={}) as database:
        names = await database.read("SELECT DISTINCT application_name FROM pg_stat_activity")
        most = (await database.read(CONNECTIONS_FOR_ALL))[0][0]
    known = [name for (text,) in names if (name := ProcessName.parse(text)) is not None and name.role != "doctor"]
    sum_max = sum(name.connections_max for name in known)
    seen = f"{len(known)} processes may open {sum_max} of {most}"
    remedy = (
        "Raise max_connections, lower HEXHAIL_DATABASE_CONNECTIONS_API and …_ROLE, or put PgBouncer between "
        "(HEXHAIL_DATABASE_POOLER=true)."
    )
    return Finding("SQL connections", sum_max <= most, seen, remedy, is_needed=False)


def _schema(versions: Mapping[str, int]) -> str:
    return ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))


def print_findings(console: Console, findings: list[Finding]) -> None:
    """A line for each, the remedy below what fails."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else ("[red]fails[/]" if finding.is_needed else "[yellow]note[/]")
        table.add_row(mark, finding.part, finding.seen)
        if not finding.ok and finding.remedy:
            table.add_row("", "", f"[bold]{finding.remedy}[/]")
    console.print(table)
