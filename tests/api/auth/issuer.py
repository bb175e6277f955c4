"""An OpenID Connect issuer over HTTP: discovery, keys and ID tokens, as an identity service has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


@dataclass
class IssuerServer:
    """Its address, its keys by id, and what it was asked for."""

    url: str
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    #: What it says of itself; none: its own address.
    says_issuer: str | None = None
    is_down: bool = False

    def rotate(self, kid: str) -> None:
        self.keys = {kid: rsa.generate_private_key(65537, 2048)}

    def sign(self, now_s: float, **changes: Any) -> str:
        (kid, key), *_ = self.keys.items()
        claims = {"iss": self.url, "aud": "app", "sub": "alice", "iat": now_s, "exp": now_s + 300.0} | changes
        return jwt.encode(claims, key, "RS256", headers={"kid": kid})

    def answer(self, path: str) -> dict[str, Any] | None:
        self.asked.append(path)
        if self.is_down:
            return None
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.says_issuer or self.url, "jwks_uri": f"{self.url}/keys"}
        entries = [
            {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": "RS256"}
            for kid, key in self.keys.items()
        ]
        return {"keys": [{"kty": "new-kind", "kid": "x"}, *entries]}


@contextmanager
def issuer_server() -> Iterator[IssuerServer]:
    """Serve an issuer with one key at a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = server.answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(503 if document is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = IssuerServer(f"http://127.0.0.1:{http.server_address[1]}")
        server.rotate("first")
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield server
        http.shutdown()
        thread.join()
