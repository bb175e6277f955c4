"""Phones of the sockets benchmark as a process: python -m benchmarks.api.phones PORT COUNT EVERY_S < tokens.

With `never` for EVERY_S they only listen.

Each is a WebSocket that sends one ping, in MessagePack, each EVERY_S seconds. A raw protocol: a library would cost
more than the server that is measured. Prints a line when all are connected, and then one each second: pings sent,
connections lost, answers that were no silence.
"""

import asyncio
import struct
import sys
import time
from typing import cast

import msgspec
import numpy as np

from backing import faust_worker
from hexhail.runtime import limits

#: At once: the server's backlog is longer, and each is a token to verify.
CONNECTING_MAX = 200
_MARKS = {"t_s": 1.1e100, "lat_deg": 2.2e100}
_BODY = msgspec.msgpack.encode({"type": "pings", "pings": [{**_MARKS, "lng_deg": -73.98, "speed_mps": 8.0}]})
_AT = {name: _BODY.index(struct.pack(">d", value)) for name, value in _MARKS.items()}


def ping_frame(t_s: float, lat_deg: float) -> bytes:
    """Return a masked WebSocket frame; the mask is 0, which leaves the payload as it is."""
    body = bytearray(_BODY)
    struct.pack_into(">d", body, _AT["t_s"], t_s)
    struct.pack_into(">d", body, _AT["lat_deg"], lat_deg)
    return struct.pack(">BBI", 0x82, 0x80 | len(body), 0) + body


def handshake(path: str, token: str) -> bytes:
    """Return the request that opens a WebSocket."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    return "\r\n".join([*lines, f"Authorization: Bearer {token}", "", ""]).encode()


class Phone(asyncio.Protocol):
    """One connection; it counts for all."""

    lost = errors = 0
    #: Whether nothing is to be said to them.
    expect_silence = True

    def __init__(self, token: str, ready: asyncio.Future[None]) -> None:
        self._token = token
        self._ready = ready
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        # Not asserted: uvloop's transports are of no such class.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(handshake("/v1/drivers/me/stream", self._token))

    def data_received(self, data: bytes) -> None:
        """Note when the stream is ready; a ping of the server's is answered."""
        if not self._ready.done():
            if b'"ready"' in data:
                self._ready.set_result(None)
            return
        if data[:1] == b"\x89":
            self.transport.write(struct.pack(">BBI", 0x8A, 0x80 | data[1], 0) + data[2 : 2 + data[1]])
        elif self.expect_silence:
            if not Phone.errors:
                print(data[:500], file=sys.stderr, flush=True)
            Phone.errors += 1

    def ping(self, t_s: float, lat_deg: float) -> None:
        """Send a position; whoever was cut off stays silent, and is counted as lost."""
        if not self.transport.is_closing():
            self.transport.write(ping_frame(t_s, lat_deg))

    def connection_lost(self, error: Exception | None) -> None:
        """Count it; the first one is told of."""
        if not Phone.lost:
            print(f"the first connection is lost: {error!r}", file=sys.stderr, flush=True)
        Phone.lost += 1
        if not self._ready.done():
            self._ready.set_exception(error or ConnectionError("refused"))


async def main(port: int, count: int, every_s: float) -> None:
    """Connect all, then ping until killed."""
    loop = asyncio.get_running_loop()
    tokens = [sys.stdin.readline().strip() for _ in range(count)]
    slots = asyncio.Semaphore(CONNECTING_MAX)

    async def connect(token: str) -> Phone:
        async with slots:
            ready: asyncio.Future[None] = loop.create_future()
            _, phone = await loop.create_connection(lambda: Phone(token, ready), "127.0.0.1", port)
            await ready
            return phone

    phones = await asyncio.gather(*map(connect, tokens))
    print("connected", flush=True)
    if not Phone.expect_silence:
        await loop.create_future()
    lat_deg = np.random.default_rng(1).uniform(40.74, 40.77, count).tolist()
    began_s, sent, told_s = time.time(), 0, 0
    while True:
        now_s = time.time()
        due = int((now_s - began_s) / every_s * count)
        for number in range(sent, due):
            turn, phone = divmod(number, count)
            phones[phone].ping(now_s, lat_deg[phone] + 1e-5 * (turn % 100))
        sent = due
        if now_s - began_s > told_s:
            told_s += 1
            print(sent, Phone.lost, Phone.errors, flush=True)
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    limits.raise_open_files()
    faust_worker.use_uvloop()
    Phone.expect_silence = sys.argv[3] != "never"
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if Phone.expect_silence else 0.0))
