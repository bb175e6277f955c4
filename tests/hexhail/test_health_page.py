"""The port of a role for probes and monitoring."""

from __future__ import annotations

import socket

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from backing.readiness import STUCK_AFTER_S, Readiness
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.health_page import HealthPage, serving
from hexhail.runtime.serve import specs
from hexhail.runtime.settings import Settings


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_port_of_a_role_says_alive_ready_and_what_it_counts() -> None:
    clock, registry = Clock(), CollectorRegistry()
    readiness = Readiness(clock)
    Counter("hexhail_things", "Things.", registry=registry).inc(3)
    page = HealthPage("relay", readiness, registry)
    with serving(page, "127.0.0.1", 0) as port, httpx.Client(trust_env=False) as http:

        def said(path: str) -> tuple[int, str]:
            answer = http.get(f"http://127.0.0.1:{port}{path}")
            return answer.status_code, answer.json()["checks"]["relay"]

        assert (said("/healthz"), said("/readyz")) == ((200, "ok"), (503, "starting"))
        readiness.start()
        readiness.beat()
        assert (said("/healthz"), said("/readyz?verbose")) == ((200, "ok"), (200, "ready"))
        clock.now_s += STUCK_AFTER_S + 5.0
        assert said("/healthz") == (503, "the event loop has not turned for 65 s")
        readiness.drain()
        assert said("/readyz") == (503, "draining")
        assert "hexhail_things_total 3.0" in http.get(f"http://127.0.0.1:{port}/metrics").text
        assert http.get(f"http://127.0.0.1:{port}/v1/ops/city").status_code == 404


def test_the_port_listens_where_the_setting_says() -> None:
    page = HealthPage("relay", Readiness(), CollectorRegistry())
    with serving(page, "0.0.0.0", 0) as port, httpx.Client(trust_env=False) as http:
        assert http.get(f"http://127.0.0.2:{port}/healthz").status_code == 200
    with serving(page, "127.0.0.1", 0) as port, socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port)) != 0


def test_a_port_that_is_taken_is_named_with_its_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        page = HealthPage("relay", Readiness(), CollectorRegistry())
        with (
            pytest.raises(DependencyMissing, match=f"127.0.0.1:{port}.*HEXHAIL_METRICS_PORT"),
            serving(page, "127.0.0.1", port),
        ):
            pass


def test_each_role_of_an_installation_has_a_port_of_its_own() -> None:
    found = specs(["relay", "matcher", "api"], Settings(metrics_port=9100))
    assert [spec.env["HEXHAIL_METRICS_PORT"] for spec in found] == ["9100", "9101", "9102"]
    assert all("HEXHAIL_METRICS_PORT" not in spec.env for spec in specs(["relay", "api"], Settings()))


def test_an_api_may_drain_before_its_supervisor_kills_it() -> None:
    relay, api = specs(["relay", "api"], Settings(drain_s=20.0, drain_spread_s=10.0))
    assert (relay.drain_s, api.drain_s) == (0.0, 30.0)
