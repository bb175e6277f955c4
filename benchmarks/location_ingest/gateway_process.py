"""The edge of the ingest benchmark as a process. Arguments: BROKER REDIS TOPIC PORT.

Frames come over a local socket, each 8 characters of a driver id and a MessagePack body, all of one size, which the
first 4 bytes tell. What follows is the product's own code: decoder, gateway, producer. HTTP is left out.
"""

import asyncio
import struct
import sys
import time

import numpy as np
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from api.pings import decode_pings
from backing import faust_worker, kafka
from benchmarks.location_ingest.inputs import CELLS, REGION_OF_CELL, REGIONS, RESOLUTION
from geo.cells import CellNumbers, latlng_to_cells
from location_ingest.adapters.kafka_pings import KafkaPings, new_producer
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.errors import IngestError
from location_ingest.metrics import GatewayMetrics
from location_ingest.service import PingGateway

ID_BYTES = 8
_numbers = CellNumbers.of(CELLS)


def region_of(lat_deg: np.ndarray, lng_deg: np.ndarray) -> np.ndarray:
    """As the API's: by the cell, over a table of all cells that are served."""
    number = _numbers.find(latlng_to_cells(lat_deg, lng_deg, RESOLUTION))
    return np.where(number >= 0, REGION_OF_CELL[number], -1)


class Frames(asyncio.Protocol):
    """Cuts the stream into frames and submits each; failures are counted."""

    failures = 0

    def __init__(self, gateway: PingGateway) -> None:
        self._gateway = gateway
        self._rest = b""
        self._size = 0

    def data_received(self, data: bytes) -> None:
        """Submit what is whole."""
        data = self._rest + data
        at = 0
        if not self._size:
            (self._size,) = struct.unpack_from("<I", data)
            at = 4
        for start in range(at, len(data) - self._size + 1, self._size):
            self._submit(data[start : start + self._size])
            at = start + self._size
        self._rest = data[at:]

    def _submit(self, frame: bytes) -> None:
        numbers = decode_pings(frame[ID_BYTES:], "MessagePack")
        try:
            answer = self._gateway.submit_numbers(frame[:ID_BYTES].decode(), numbers, time.time())
        except IngestError as error:
            self._failed(error)
        else:
            answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[None]) -> None:
        error = answer.exception()
        if error is not None:
            self._failed(error)

    @staticmethod
    def _failed(error: BaseException) -> None:
        if not Frames.failures:
            print(error, file=sys.stderr, flush=True)
        Frames.failures += 1


async def main(broker: str, redis_url: str, topic: str, port: str) -> None:
    """Serve until killed."""
    producer = new_producer(kafka.bootstrap_servers(broker))
    await producer.start()
    redis = Redis.from_url(redis_url)
    gateway = PingGateway(
        KafkaPings(producer, topic, lambda region_id: (REGIONS.index(region_id),)),
        RedisCells(redis),
        REGIONS,
        region_of,
        metrics=GatewayMetrics(CollectorRegistry()),
    )
    region_of(np.zeros(1), np.zeros(1))
    server = await asyncio.get_running_loop().create_server(lambda: Frames(gateway), "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    faust_worker.use_uvloop()
    asyncio.run(main(*sys.argv[1:]))
