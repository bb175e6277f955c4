"""What may break between the edge and the cells, with numbered pings: lost, older over newer, seconds to recover."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common.measure import Report
from tests.kafka.server import SESSION_S, KafkaUnavailable, fetch_jars, kafka_command
from tests.location_ingest import faults
from tests.location_ingest.faults import Fault, Outcome
from tests.location_ingest.processes import Server, tansu_command

HEADER = ["fault", "taken", "counted", "lost", "older over newer", "garbage", "dead letters", "recovered after s"]
CONTROL = (faults.worker_killed_in_the_middle_of_a_batch,)


def run(small: bool, report: Report) -> None:
    """Run every fault on the embedded broker, then on Apache Kafka where it can be had; ``small`` plants one error."""
    chosen: Sequence[Fault] = (faults.exception_in_the_batch_handler,) if small else faults.FAULTS
    report.note("taken: answered as stored in the log; lost: newer than what the store holds of the driver at the end")
    report.note("counted is below taken where the store lost its data, and may be where two workers had one partition")
    _suite(report, "the embedded broker", tansu_command, 3.0, chosen, has_control=not small)
    if small:
        return
    try:
        fetch_jars()
    except KafkaUnavailable as why:
        report.note(f"Apache Kafka: skipped. {why}")
        return
    _suite(report, "Apache Kafka", kafka_command, SESSION_S, chosen, has_control=True)


def _suite(
    report: Report,
    name: str,
    command: Callable[[int, Path], list[str]],
    session_s: float,
    chosen: Sequence[Fault],
    *,
    has_control: bool,
) -> None:
    with tempfile.TemporaryDirectory(prefix="hexhail-faults-") as folder:
        broker = Server(command, Path(folder) / "broker")
        store = faults.durable_valkey(Path(folder) / "valkey")
        try:
            broker.start()
            store.start()
            outcomes = _run(chosen, broker, store, Path(folder), session_s)
            controls = _run(CONTROL, broker, store, Path(folder), session_s, "--unguarded") if has_control else []
        finally:
            broker.kill()
            store.kill()
    report.table(f"Faults on {name}, sessions of {session_s:.0f} s", HEADER, list(map(_row, outcomes)))
    _check(outcomes)
    if controls:
        report.table(f"The control on {name}: the guard is off", HEADER, list(map(_row, controls)))
        if not any(outcome.older_over_newer for outcome in controls):
            raise AssertionError("without the guard nothing was noticed: this benchmark sees nothing")


def _run(
    chosen: Sequence[Fault], broker: Server, store: Server, folder: Path, session_s: float, *options: str
) -> list[Outcome]:
    running = faults.run_faults(chosen, broker, store, folder, session_s=session_s, worker_options=options)
    return asyncio.run(running)


def _row(outcome: Outcome) -> list[object]:
    count = outcome.count
    return [
        outcome.fault,
        count.taken,
        count.counted,
        count.lost,
        outcome.older_over_newer,
        outcome.garbage,
        outcome.dead_letters,
        round(outcome.recovery_s, 1),
    ]


def _check(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.count.lost or outcome.count.misplaced or outcome.older_over_newer:
            raise AssertionError(f"pings were lost or misplaced: {outcome}")
        if outcome.dead_letters < outcome.garbage:
            raise AssertionError(f"bad messages disappeared: {outcome}")
