"""The shared set-up of Kafka and Faust, without a broker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backing import faust_worker, kafka
from tests.patience import PATIENCE_S

NOBODY = "kafka://127.0.0.1:1"


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("kafka://one:9092", ["one:9092"]),
        ("one:9092", ["one:9092"]),
        ("kafka://one:9092;kafka://two:9093/", ["one:9092", "two:9093"]),
        ("one:9092, two:9093", ["one:9092", "two:9093"]),
    ],
)
def test_brokers_are_named_by_a_url(url: str, servers: Any) -> None:
    assert kafka.bootstrap_servers(url) == servers


@pytest.mark.parametrize("url", ["", "kafka://", "one:9092;"])
def test_a_url_that_names_no_broker_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="names no broker"):
        kafka.bootstrap_servers(url)


async def test_the_application_is_built_as_the_workers_need_it(tmp_path: Path) -> None:
    app = faust_worker.build_faust_app("worker", broker_url="kafka://one:9092", data_dir=tmp_path / "data")
    conf = app.conf
    assert (conf.id, conf.broker_session_timeout, conf.broker_heartbeat_interval) == ("worker", 6.0, 2.0)
    assert (conf.web_enabled, conf.topic_disable_leader, conf.stream_wait_empty) == (False, True, False)
    assert (conf.table_standby_replicas, conf.datadir) == (0, tmp_path / "data")


async def test_an_empty_fetch_waits_a_tenth_of_a_second_at_most(tmp_path: Path) -> None:
    app = faust_worker.build_faust_app("worker", broker_url="kafka://one:9092", data_dir=tmp_path)
    thread = app.consumer._thread
    consumer = thread._create_worker_consumer(app.transport)
    assert consumer._fetch_max_wait_ms == faust_worker.FETCH_WAIT_MS
    await consumer.stop()
    thread.thread_loop.close()


class Worker:
    """Does something that may have to wait."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.free = asyncio.get_running_loop().create_future()

    async def work(self, *, waits: bool) -> None:
        self.said.append("began")
        try:
            if waits:
                await self.free
                await asyncio.sleep(0)
            self.said.append("ended")
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            self.said.append("interrupted")
            raise


async def test_what_needs_not_wait_is_done_at_once_without_a_task() -> None:
    worker = Worker()
    assert faust_worker.begun(worker.work(waits=False)) is None
    assert worker.said == ["began", "ended"]


async def test_what_waits_goes_on_in_the_task_that_takes_it_over() -> None:
    worker = Worker()
    task = asyncio.create_task(faust_worker.begun(worker.work(waits=True)))
    await asyncio.sleep(0)
    assert worker.said == ["began"]
    worker.free.set_result(None)
    await task
    assert worker.said == ["began", "ended"]


async def test_an_interruption_reaches_what_was_begun() -> None:
    worker = Worker()
    task = asyncio.create_task(faust_worker.begun(worker.work(waits=True)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worker.said == ["began", "interrupted"]


async def test_an_error_is_raised_at_once() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        faust_worker.begun(fail())


async def test_a_consumer_whose_flow_is_paused_waits_for_the_event_that_resumes_it(tmp_path: Path) -> None:
    """Faust waits for it when a worker joins or leaves the group; each such worker died of an AttributeError before."""
    app = faust_worker.build_faust_app("worker", broker_url="kafka://one:9092", data_dir=tmp_path)
    consumer = app.consumer
    resumed = asyncio.Event()
    waiting = asyncio.create_task(consumer.wait(resumed))
    await asyncio.sleep(0)
    assert not waiting.done()
    resumed.set()
    assert not (await asyncio.wait_for(waiting, PATIENCE_S)).stopped
    consumer._thread.thread_loop.close()


def test_importing_the_set_up_does_not_import_faust() -> None:
    code = (
        "import backing.faust_worker, backing.kafka, sys; sys.exit('faust' in sys.modules or 'aiokafka' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_a_broker_the_process_ends_at_once_with_an_error(tmp_path: Path) -> None:
    code = f"""
import asyncio
from pathlib import Path
from backing import faust_worker

async def main():
    app = faust_worker.build_faust_app("worker", broker_url={NOBODY!r}, data_dir=Path({str(tmp_path)!r}))
    app.agent(app.topic("pings"))(lambda stream: stream)
    await faust_worker.run_faust_app(app)

faust_worker.use_uvloop()
asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, timeout=PATIENCE_S, capture_output=True, cwd=tmp_path
    )
    assert ended.returncode == 1
    assert b"faust_start_failed" in ended.stdout
