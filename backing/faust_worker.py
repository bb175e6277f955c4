"""How every Faust worker is set up and run. Faust is imported in functions: the import takes a second."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from backing.kafka import bootstrap_servers
from backing.kafka_security import PLAINTEXT, Security
from backing.readiness import Readiness

if TYPE_CHECKING:
    import faust

log = structlog.get_logger(__name__)

#: Faust asks a broker to hold an empty fetch for 1.5 s, and one fetch is in flight per broker: a partition without
#: messages would delay all the others by that long.
FETCH_WAIT_MS = 100
#: Apache Kafka refuses less (group.min.session.timeout.ms); the embedded broker joins faster with less.
SESSION_TIMEOUT_S = 6.0
#: A group not joined by then never will be; an application that does not stop by then is left to the system.
START_S_MAX = 120.0
STOP_S_MAX = 10.0


def use_uvloop() -> None:
    """Make uvloop the event loop of this process and of Faust's consumer thread, where it is installed.

    Call it before the loop is made. Saves a tenth of the worker's time.
    """
    try:
        import uvloop
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def build_faust_app(
    name: str,
    *,
    broker_url: str,
    data_dir: Path,
    session_timeout_s: float = SESSION_TIMEOUT_S,
    security: Security = PLAINTEXT,
) -> faust.App:
    """Return an application named like its consumer group; agents are attached by the caller.

    It serves no web page, keeps its files in `data_dir`, has no leader topic, and at its end waits for nothing that is
    not acknowledged. Its consumer gives a member up after `session_timeout_s`. Call it on the loop that will run it.
    """
    import faust

    data_dir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        name,
        broker=[f"kafka://{server}" for server in bootstrap_servers(broker_url)],
        broker_credentials=_credentials(security),
        broker_session_timeout=session_timeout_s,
        # A third of the session, as Kafka advises: two may be lost.
        broker_heartbeat_interval=session_timeout_s / 3.0,
        broker_rebalance_timeout=session_timeout_s,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        web_enabled=False,
        autodiscover=False,
        datadir=str(data_dir),
        loop=asyncio.get_running_loop(),
    )
    app.transport = _fetching_transport()(app.conf.broker_consumer, app)
    return app


def _credentials(security: Security) -> Any:
    """Return the security in Faust's terms; None for connections in the clear and without a name."""
    import faust

    context = security.tls_context()
    if security.has_sasl:
        return faust.SASLCredentials(
            username=security.username, password=security.password, ssl_context=context, mechanism=security.mechanism
        )
    return None if context is None else faust.SSLCredentials(context)


def _fetching_transport() -> Any:
    """Return Faust's Kafka transport with a shorter fetch wait; Faust 0.15.3 has no setting for it."""
    from faust.transport.drivers import aiokafka as driver

    class FetchingThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust has no types
        def _create_worker_consumer(self, transport: Any) -> Any:
            consumer = super()._create_worker_consumer(transport)
            consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - read by aiokafka when it starts
            return consumer

    class FetchingConsumer(driver.Consumer):  # type: ignore[misc]  # Faust has no types
        async def wait_first(self, *waitables: Any, timeout: Any = None) -> Any:
            """Faust gives each message four tasks, one of which takes it in: a third of a worker's time.

            Hardly any has to wait, for a queue that is full; only for those are there tasks. Faust also calls this with
            events, which cannot be begun: it waits for one while a rebalance pauses the flow of messages.
            """
            taking_in, *interruptions = waitables
            if not asyncio.iscoroutine(taking_in):
                return await super().wait_first(*waitables, timeout=timeout)
            rest = begun(taking_in)
            if rest is not None:
                return await super().wait_first(rest, *interruptions, timeout=timeout)
            for interruption in interruptions:
                interruption.close()
            return None

        def _new_consumer_thread(self) -> Any:
            return FetchingThread(self, loop=self.loop, beacon=self.beacon)

    class FetchingTransport(driver.Transport):  # type: ignore[misc]  # Faust has no types
        Consumer = FetchingConsumer

    return FetchingTransport


def begun(coroutine: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None] | None:
    """Run a coroutine up to where it first waits; return what is left of it, None if it ended. Raises what it raises.

    It runs in the task of the caller; what is left may be awaited by another.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None

    async def rest() -> None:
        await _resumed(coroutine, awaited)

    return rest()


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Pass on what a coroutine waits for, and to it what comes of that, an interruption too."""
    while True:
        step: Callable[[Any], Any]
        try:
            value = yield awaited
            step = coroutine.send
        except BaseException as error:
            value, step = error, coroutine.throw
        try:
            awaited = step(value)
        except StopIteration:
            return


async def run_faust_app(app: faust.App, readiness: Readiness | None = None) -> None:
    """Run the application until SIGTERM or SIGINT; ``readiness`` is told when it has started and when it is to stop.

    Raises SystemExit(1) if it crashed or could not start, so that whoever supervises the process starts another.
    """
    readiness = readiness or Readiness()
    stop_asked = _stop_signal(readiness)
    beating = asyncio.ensure_future(readiness.keep_beating())
    started = await _start(app, stop_asked)
    if started:
        readiness.start()
        stopped = asyncio.ensure_future(app.wait_until_stopped())
        asked = asyncio.ensure_future(stop_asked.wait())
        await asyncio.wait({stopped, asked}, return_when=asyncio.FIRST_COMPLETED)
        for future in (stopped, asked):
            future.cancel()
    readiness.drain()
    await _stop(app)
    beating.cancel()
    if app.crashed or not (started or stop_asked.is_set()):
        log.error("faust_crashed", app=app.conf.id, reason=repr(app.crash_reason))
        raise SystemExit(1)


def _stop_signal(readiness: Readiness) -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()

    def ask() -> None:
        readiness.drain()
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    return asked


async def _start(app: faust.App, stop_asked: asyncio.Event) -> bool:
    """Return whether the application runs; False if it was asked to stop meanwhile, failed, or took too long."""
    starting = asyncio.ensure_future(app.start())
    asked = asyncio.ensure_future(stop_asked.wait())
    await asyncio.wait({starting, asked}, timeout=START_S_MAX, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not starting.done():
        starting.cancel()
        return False
    error = starting.exception()
    if error is not None:
        log.error("faust_start_failed", app=app.conf.id, error=str(error) or repr(error))
    return error is None


async def _stop(app: faust.App) -> None:
    """Stop the application; what hangs in it ends with the process, for nothing of it is owed to anyone."""
    try:
        async with asyncio.timeout(STOP_S_MAX):
            await app.stop()
    except TimeoutError:
        log.exception("faust_stop_hangs", app=app.conf.id, after_s=STOP_S_MAX)
        sys.stdout.flush()
        os._exit(1)
