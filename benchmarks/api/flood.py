"""A client that abuses its stream, as a process: python -m benchmarks.api.flood PORT KIND SECONDS < token.

It sends as fast as the server takes it, and connects again at once when it is cut off. Prints a line when it is ready
to begin, and at the end how often it connected and how many MB it sent.
"""

import contextlib
import socket
import struct
import sys
import time

from benchmarks.api.phones import handshake

_TEXT, _PING, _CONTINUATION = 0x1, 0x9, 0x0
#: Sent in one call: more than the server reads at once.
_AT_ONCE = 1 << 18


def frame(opcode: int, payload: bytes, *, is_last: bool = True) -> bytes:
    """Return a masked WebSocket frame; the mask is 0, which leaves the payload as it is."""
    head = bytes([opcode | (0x80 if is_last else 0)])
    if len(payload) < 126:
        return head + struct.pack(">BI", 0x80 | len(payload), 0) + payload
    return head + struct.pack(">BQI", 0x80 | 127, len(payload), 0) + payload


#: Kind -> what is sent once, and then again and again.
KINDS = {
    "messages": (b"", frame(_TEXT, b'{"type":"ping"}')),
    "control pings": (b"", frame(_PING, b"x" * 125)),
    "fragments": (frame(_TEXT, b"{", is_last=False), frame(_CONTINUATION, b"", is_last=False)),
    "large messages": (b"", frame(_TEXT, b"x" * 500_000)),
}


def flood(port: int, token: str, once: bytes, again: bytes, until_s: float) -> int:
    """Connect and send until the server hangs up or the time is over; return how many bytes went out."""
    block = memoryview(again * max(1, _AT_ONCE // len(again)))
    sent = 0
    with socket.socket() as sender:
        # Answers that nobody reads: what the server keeps of them is its memory.
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender.settimeout(0.5)
        sender.connect(("127.0.0.1", port))
        sender.sendall(handshake("/v1/drivers/me/stream", token))
        if not _is_ready(sender, until_s):
            return 0
        sender.sendall(once)
        while time.monotonic() < until_s:
            begun = 0  # of a block: a frame that was begun is gone on with
            while begun < len(block) and time.monotonic() < until_s:
                with contextlib.suppress(TimeoutError):
                    begun += sender.send(block[begun:])
            sent += begun
    return sent


def _is_ready(opened: socket.socket, until_s: float) -> bool:
    """Wait for the stream's first frame; what is sent before the handshake is answered would be lost."""
    heard = b""
    while b'"ready"' not in heard and time.monotonic() < until_s:
        with contextlib.suppress(TimeoutError):
            more = opened.recv(4096)
            if not more:
                return False
            heard += more
    return True


def half_heads(port: int, count: int) -> list[socket.socket]:
    """Open connections that send half the head of a request and no more."""
    opened = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), 10.0)
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        opened.append(one)
    return opened


def still_open(sockets: list[socket.socket]) -> int:
    """Return how many of the connections the server has not closed."""
    found = 0
    for one in sockets:
        one.setblocking(False)
        try:
            while one.recv(4096):
                pass
        except BlockingIOError:
            found += 1
        except OSError:
            pass
    return found


def main(port: int, kind: str, seconds_s: float) -> None:
    """Flood for some seconds."""
    print("ready", flush=True)
    token = sys.stdin.readline().strip()
    until_s = time.monotonic() + seconds_s
    connected = sent = 0
    while time.monotonic() < until_s:
        connected += 1
        with contextlib.suppress(OSError):
            sent += flood(port, token, *KINDS[kind], until_s)
    print(connected, sent / 1e6, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
