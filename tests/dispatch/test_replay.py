"""A recorded run is decided again, bit for bit; what would be decided otherwise is named."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from dispatch.adapters.event_codec import decode
from dispatch.adapters.round_files import SUFFIX, FileRoundRecords, read_rounds
from dispatch.events import MatchFound, OfferAccepted, OfferSent
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import SupplySnapshot
from dispatch.ports import RoundRecord
from dispatch.service.pickup_watch import LOOK_EVERY_S
from dispatch.service.replay import Replay, ReplayDiverged, RoundsOfAnotherMap, replay_rounds
from geo.city import load_city
from geo.places import Places, map_id_of
from hexhail.cities.files import write_city_file
from hexhail.runs.export import export, replay
from hexhail.runs.replay_run import RecordedRun
from hexhail.runs.run_folder import read_events
from hexhail.runs.sightings import of_rounds
from kernel.points import Place
from pricing.adapters.sql.record import SqlPriceRecord
from simulator.service.event_log import sha256_of
from tests.dispatch.people import (
    PARAMS,
    accept,
    arrive,
    decline,
    do,
    drop_off,
    grid_city,
    pick_up,
    request,
    rider_cancels,
)
from tests.dispatch.test_matching_service import CITY, Matcher
from tests.pricing.test_sql_record import CHANGE


async def live_a_little(matcher: Any) -> Any:
    """Rounds in which every kind of event happens; returns the history."""
    await matcher.drivers(**{f"driver{n:02}": n for n in range(12)})
    for n in range(6):
        await matcher.request(f"ride{n}", (5 * n) % 18, f"rider{n}")
    await matcher.service.run_round()
    offers = [(await matcher.store.find_ride(f"ride{n}")).offer for n in range(6)]
    await do(matcher.rides, decline(offers[0].offer_id, offers[0].driver_id), rider_cancels("ride1", "rider1"))
    for n in (2, 3):
        await do(matcher.rides, accept(offers[n].offer_id, offers[n].driver_id))
    matcher.clock.now_s += 0.1 + PARAMS.offer_ttl_s
    await matcher.service.run_round()
    await do(matcher.rides, arrive("ride2", offers[2].driver_id), pick_up("ride2", offers[2].driver_id))
    await do(matcher.rides, drop_off("ride2", offers[2].driver_id))
    matcher.clock.now_s += LOOK_EVERY_S + PARAMS.silent_after_s
    for n in range(12):
        if f"driver{n:02}" != offers[3].driver_id:
            await matcher.place(f"driver{n:02}", n)
    await matcher.service.run_round()
    matcher.clock.now_s += 0.7 + PARAMS.max_wait_s
    await matcher.service.run_round()
    return [decode(payload) for payload in await matcher.store.history()]


@pytest.fixture
async def recorded(sqlite_store: Any, empty_redis: Redis, clock: Any, tmp_path: Path) -> Any:
    records = FileRoundRecords(tmp_path / "rounds", "manhattan")
    matcher = Matcher(sqlite_store, empty_redis, clock, records=records, places=Places.of(CITY))
    events = await live_a_little(matcher)
    await asyncio.gather(*matcher.rides._releases)
    return events, read_rounds(tmp_path / "rounds")


@pytest.mark.servers
async def test_a_live_run_comes_out_the_same_bit_for_bit(recorded: Any) -> None:
    events, rounds = recorded
    kinds = {type(event).__name__ for event in events}
    assert {"OfferDeclined", "OfferExpired", "OfferWithdrawn", "AssignmentCancelled", "RiderDroppedOff"} <= kinds
    assert sha256_of(event for event, _ in Replay(PARAMS).run(events)) == sha256_of(events)
    again = list(replay_rounds(events, rounds, OptimalPolicy(CITY), CITY))
    assert len(again) >= 3
    assert all(one.is_same for one in again)
    offered = {(event.ride_id, event.driver_id) for event in events if isinstance(event, OfferSent)}
    assert offered == {(match.ride_id, match.driver_id) for one in again for match in one.matches}


@pytest.mark.servers
async def test_a_live_run_is_exported_as_a_simulated_one_and_comes_out_the_same(
    recorded: Any, sqlite_database: Any, tmp_path: Path
) -> None:
    events, rounds = recorded
    city_dir, out = tmp_path / "city", tmp_path / "out"
    city_dir.mkdir()
    CITY.save(city_dir)
    write_city_file(city_dir, name="Grid", timezone="UTC", currency="USD", is_osm=False)
    city = load_city(city_dir)
    prices, region_id = SqlPriceRecord(sqlite_database), city.region.region_id
    epoch = await prices.claim(region_id)
    await prices.add_changes(region_id, [replace(CHANGE, cell=int(city.surge_cells[0]))], epoch)
    summary = await export(f"sqlite:///{tmp_path}/rides.db", city_dir, tmp_path / "rounds", out)
    assert (summary["requests"], summary["completed"], summary["violations"]) == (6, 1, [])
    assert summary["events_sha256"] == sha256_of(events)
    assert read_events(out) == events
    assert len((out / "drivers.csv").read_text().splitlines()) == 1 + 12
    replayed = replay(out, city_dir)
    assert replayed.is_same
    assert (replayed.events, replayed.rounds) == (len(events), len(rounds))
    played = RecordedRun(out, None)
    assert len(played.tracks.driver_id) == 12
    assert played.about()["rides"]["end"].count("completed") == 1
    assert played.prices.multiplier.tolist() == [CHANGE.multiplier]


@pytest.mark.servers
async def test_other_decisions_are_noticed_and_named(recorded: Any) -> None:
    events, rounds = recorded
    at = next(at for at, event in enumerate(events) if isinstance(event, OfferAccepted))
    forged = [*events[:at], replace(events[at], driver_id="somebody"), *events[at + 1 :]]
    with pytest.raises(ReplayDiverged, match=f"event {at} .*somebody"):
        list(Replay(PARAMS).run(forged))
    with pytest.raises(ReplayDiverged, match="expires_s"):
        list(Replay(replace(PARAMS, offer_ttl_s=PARAMS.offer_ttl_s + 1)).run(events))
    fewer = replace(rounds[0], supply=_without_first(rounds[0].supply))
    (first, *_) = replay_rounds(events, [fewer], OptimalPolicy(CITY), CITY)
    assert not first.is_same


@pytest.mark.servers
async def test_rounds_of_another_map_are_refused_with_the_names_of_both_maps(recorded: Any, tmp_path: Path) -> None:
    events, rounds = recorded
    other = grid_city(rows=3, columns=7)
    with pytest.raises(RoundsOfAnotherMap, match=f"{map_id_of(CITY)}.*{map_id_of(other)}"):
        list(replay_rounds(events, rounds, OptimalPolicy(other), other))
    with pytest.raises(RoundsOfAnotherMap, match=map_id_of(other)):
        list(of_rounds(tmp_path / "rounds", other))


@pytest.mark.servers
async def test_an_export_takes_the_rounds_of_its_map_and_counts_those_of_others(
    recorded: Any, tmp_path: Path, sqlite_store: Any
) -> None:
    _, rounds = recorded
    other = grid_city(rows=3, columns=7)
    later = replace(rounds[0], map_id=map_id_of(other))
    records = FileRoundRecords(tmp_path / "rounds", "manhattan")
    await records.write(rounds[0])
    await records.write(later)  # to a file of its own
    for name, graph, n_rounds in (("before", CITY, len(rounds) + 1), ("after", other, 1)):
        city_dir, out = tmp_path / name, tmp_path / f"out-{name}"
        city_dir.mkdir()
        graph.save(city_dir)
        write_city_file(city_dir, name="Grid", timezone="UTC", currency="USD", is_osm=False)
        summary = await export(f"sqlite:///{tmp_path}/rides.db", city_dir, tmp_path / "rounds", out)
        assert (summary["rounds"], summary["rounds_of_other_maps"]) == (n_rounds, 2 + len(rounds) - n_rounds)
        assert len(read_rounds(out / "rounds")) == n_rounds
    assert replay(tmp_path / "out-before", tmp_path / "before").is_same


@pytest.mark.servers
async def test_a_ride_of_an_older_map_is_decided_again_where_the_matcher_placed_it(
    sqlite_store: Any, empty_redis: Redis, clock: Any, tmp_path: Path
) -> None:
    records = FileRoundRecords(tmp_path / "rounds", "manhattan")
    matcher = Matcher(sqlite_store, empty_redis, clock, records=records, places=Places.of(CITY))
    await matcher.drivers(north=0, south=12)
    pickup = Place(float(CITY.lat_deg[12]), float(CITY.lng_deg[12]), node=0)  # 0 was its number there
    await matcher.rides.handle(replace(request("ride"), map_id="an older map", pickup=pickup))
    await matcher.service.run_round()
    events = [decode(payload) for payload in await sqlite_store.history()]
    (again,) = replay_rounds(events, read_rounds(tmp_path / "rounds"), OptimalPolicy(CITY), CITY)
    assert [match.driver_id for match in again.matches] == ["south"]
    assert again.is_same


async def test_rounds_recorded_before_maps_were_named_are_taken_for_those_of_the_map_given(tmp_path: Path) -> None:
    supply = SupplySnapshot(12.5, ("dora",), np.array([3]), np.array([4]))
    await FileRoundRecords(tmp_path, "manhattan").write(RoundRecord("manhattan", PARAMS, (), supply, ()))
    (sighting,) = of_rounds(tmp_path, CITY)
    assert sighting.driver_id == "dora"


def _without_first(supply: Any) -> Any:
    return SupplySnapshot(supply.now_s, supply.driver_id[1:], supply.node[1:], supply.seats[1:])


async def test_recorded_rounds_come_back_and_one_that_was_cut_short_ends_its_file(tmp_path: Path) -> None:
    supply = SupplySnapshot(12.5, ("dora", "dan"), np.array([3, 4]), np.array([4, 6]))
    match = MatchFound(ride_id="ride", driver_id="dora", pickup_eta_s=0.1 + 0.2, score=-1e-9)
    record = RoundRecord("manhattan", replace(PARAMS, batch_window_s=0.5), (("ride", 7),), supply, (match,))
    records = FileRoundRecords(tmp_path / "new", "manhattan")
    for _ in range(2):
        await records.write(record)
    (file,) = (tmp_path / "new").glob(f"*{SUFFIX}")
    file.write_bytes(file.read_bytes()[:-3])
    (back,) = read_rounds(tmp_path / "new")
    assert (back.params, back.waiting, back.matches) == (record.params, record.waiting, record.matches)
    assert back.supply.driver_id == supply.driver_id
    assert back.supply.node.tolist() == [3, 4]
    assert back.supply.seats.tolist() == [4, 6]
