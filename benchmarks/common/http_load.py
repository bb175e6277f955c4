"""HTTP load over many connections, one request at a time each; a raw protocol, since a library costs more CPU."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.common.measure import Report


@dataclass
class Answers:
    """What came back."""

    status: dict[int, int] = field(default_factory=dict)
    took_ms: list[float] = field(default_factory=list)

    def note_others(self, report: Report, wanted: int) -> None:
        """Say how many answers were not as wanted."""
        others = {status: count for status, count in self.status.items() if status != wanted}
        if others:
            report.note(f"answers other than {wanted}: {others}")


def post(path: str, token: str, body: bytes = b"") -> bytes:
    """Return one request as it is sent."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def send_all(port: int, requests: Sequence[bytes], connections: int) -> Answers:
    """Send each request once and return the answers; so many are under way at a time."""
    answers, left = Answers(), iter(requests)
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_one_connection(port, left, answers))
    return answers


async def _one_connection(port: int, left: Iterator[bytes], answers: Answers) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in left:
        began_s = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_length(head))
        answers.took_ms.append(1e3 * (time.perf_counter() - began_s))
        status = int(head[9:12])
        answers.status[status] = answers.status.get(status, 0) + 1
    writer.close()


def _length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(b"content-length:")
    return int(lowered[at + 15 : lowered.index(b"\r\n", at)]) if at >= 0 else 0
