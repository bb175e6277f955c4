"""REST of the load by locust, in a process of its own: locust patches the standard library."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[3]
#: Asks three times for a body, and prints what it was told, beside so many open files.
ASK = """
import sys
import locust
from locust.env import Environment
from locust.contrib.fasthttp import FastHttpSession
from hexhail.runtime import limits
from benchmarks.load.people.rest import Rest, shared_connections

limits.raise_open_files()
files = [open("/dev/null") for _ in range(int(sys.argv[2]))]
environment = Environment()
session = FastHttpSession(sys.argv[1], environment.events.request, None, client_pool=shared_connections())
rest = Rest(session, "a token")
print([rest.post("/things", {"number": number}) for number in range(3)])
"""


class Answering(BaseHTTPRequestHandler):
    """Answers each request; counts connections, keeps keys, and closes the first connection at its second request."""

    protocol_version = "HTTP/1.1"
    connections = 0
    closes = False
    keys: list[str]

    def setup(self) -> None:
        type(self).connections += 1
        super().setup()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.keys.append(self.headers["Idempotency-Key"])
        if self.closes and self.connections == 1 and len(self.keys) == 2:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "11")
        self.end_headers()
        self.wfile.write(b'{"ok":true}')

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(*, closes: bool) -> Iterator[tuple[str, type[Answering]]]:
    handler = type("Handler", (Answering,), {"closes": closes, "keys": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()


def ask(url: str, open_files: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASK, url, str(open_files)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_connection_is_kept_also_where_a_process_has_more_than_a_thousand_streams() -> None:
    with answering(closes=False) as (url, handler):
        assert ask(url, open_files=1_200) == "[{'ok': True}, {'ok': True}, {'ok': True}]"
    assert handler.connections == 1


def test_a_request_on_a_connection_that_is_closed_meanwhile_is_sent_again_under_the_same_key() -> None:
    with answering(closes=True) as (url, handler):
        assert ask(url) == "[{'ok': True}, {'ok': True}, {'ok': True}]"
    first, lost, again, last = handler.keys
    assert lost == again
    assert len({first, again, last}) == 3
