"""An ingester wired by hand: python worker.py BROKER REDIS TOPIC DATA_DIR [options]; a signal makes it fail.

SIGUSR1: the next four batches fail. SIGUSR2: the process kills itself in the middle of the next batch, half of it
stored and nothing of it acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backing import faust_worker, kafka
from backing.redis.functions import LuaLibrary, RedisFunctions
from location_ingest.adapters.faust_agent import AgentParams, attach
from location_ingest.adapters.kafka_pings import KafkaDeadLetters, new_producer
from location_ingest.adapters.ping_codec import MessagePackPings
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.column_engine import ColumnEngine
from location_ingest.metrics import IngestMetrics
from location_ingest.model import RawMessage
from location_ingest.service import IngestService

RESOLUTION_OF_REGION = {"north": 9, "east": 9, "south": 9, "west": 8, "brooklyn": 9}
GUARD = "time_of(entry) > t_ms_of[place]"


STARTED = "worker started"


class FailingService(IngestService):
    """Fails batches: half of them before anything is stored, half of them behind it. Dies in the middle of one."""

    failures_left = 0
    dies = False

    async def process(self, messages: Sequence[RawMessage], now_s: float) -> list[float]:
        if self.dies:
            await super().process(messages[: (len(messages) + 1) // 2], now_s)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.failures_left > 0:
            self.failures_left -= 1
            if self.failures_left % 2:
                raise AttributeError("'NoneType' object has no attribute 'writelines'")
            await super().process(messages, now_s)
            raise ConnectionError("the answer was lost")
        return await super().process(messages, now_s)

    def listen(self) -> None:
        """From now on, fail when told."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, setattr, self, "failures_left", 4)
        loop.add_signal_handler(signal.SIGUSR2, setattr, self, "dies", True)


def take_the_guard_off(cells: RedisCells, redis: Redis) -> None:
    """Have the cells take every position, newer or not: what the tests must notice."""
    source = files("location_ingest.adapters").joinpath("cells.lua").read_text(encoding="utf-8")
    assert source.count(GUARD) == 1, "the guard is written otherwise now"
    cells._functions = RedisFunctions(redis, LuaLibrary.of(source.replace(GUARD, "true")))


async def say_started() -> None:
    """Tell the test, which reads the log, that signals are heard."""
    sys.stdout.write(f"{STARTED}\n")


async def main(arguments: argparse.Namespace) -> None:
    redis = Redis.from_url(arguments.redis, socket_timeout=1.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0))
    producer = new_producer(kafka.bootstrap_servers(arguments.broker))
    await producer.start()
    metrics = IngestMetrics(CollectorRegistry())
    cells = RedisCells(redis)
    if arguments.unguarded:
        take_the_guard_off(cells, redis)
    service = FailingService(
        ColumnEngine(),
        MessagePackPings(),
        cells,
        KafkaDeadLetters(producer, f"{arguments.topic}.dead"),
        resolution_of_region=RESOLUTION_OF_REGION,
        metrics=metrics,
    )
    service.failures_left = arguments.fail
    service.listen()
    app = faust_worker.build_faust_app(
        f"ingester-{arguments.topic}",
        broker_url=arguments.broker,
        data_dir=arguments.data_dir,
        session_timeout_s=arguments.session_s,
    )
    params = AgentParams(
        batch_messages_max=arguments.batch_messages,
        sweep_every_s=0.5,
        watch_every_s=0.5,
        stuck_after_s=arguments.stuck_after_s,
    )
    attach(app, arguments.topic, service, now_s=time.time, metrics=metrics, params=params)
    app.task()(say_started)
    try:
        await faust_worker.run_faust_app(app)
    finally:
        await producer.stop()
        await redis.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("broker")
    parser.add_argument("redis")
    parser.add_argument("topic")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--fail", type=int, default=0)
    parser.add_argument("--stuck-after-s", type=float, default=60.0)
    parser.add_argument("--session-s", type=float, default=3.0)
    parser.add_argument("--batch-messages", type=int, default=500)
    parser.add_argument("--unguarded", action="store_true")
    faust_worker.use_uvloop()
    asyncio.run(main(parser.parse_args()))
