"""The gateway's configuration: HAProxy takes it whatever the settings, and wrong settings are named."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hexhail.cli.app import app
from hexhail.gateway.config import haproxy_config, quoted
from hexhail.gateway.haproxy import find_haproxy
from hexhail.gateway.params import ApiAddress, GatewayParams, GatewayRefused
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.settings import Settings
from tests.gateway.running import haproxy

TWO = [ApiAddress("10.0.0.1", 8080, 9080), ApiAddress("api-2.internal", 8081, 9081)]


def certificate(folder: Path) -> Path:
    """A certificate of our own making for 127.0.0.1, with its key; skips without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "gateway.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command, *more], check=True, capture_output=True)
    both.write_text(cert.read_text() + key.read_text())
    return both


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"phone": "+1 (212) 555-0100"},
        {"trusted_proxies": ["10.0.0.0/8", "2001:db8::/32"]},
        {"address_requests_per_s": 0, "token_requests_per_s": 0, "address_connections_max": 0},
        {"host": "", "internal_host": "::1", "connections_max": 100},
    ],
    ids=str,
)
def test_haproxy_takes_the_configuration(changes: dict[str, Any], tmp_path: Path) -> None:
    apis = [ApiAddress("127.0.0.1", 8080, 9080), ApiAddress("[::1]", 8081, 8081)]
    path = tmp_path / "gateway.cfg"
    path.write_text(haproxy_config(GatewayParams(apis, admin_socket=tmp_path / "admin.sock", **changes)))
    checked = subprocess.run([str(haproxy()), "-c", "-f", str(path)], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr, checked.stderr


def test_haproxy_takes_a_certificate(tmp_path: Path) -> None:
    path = tmp_path / "gateway.cfg"
    path.write_text(
        haproxy_config(GatewayParams([ApiAddress("127.0.0.1", 8080, 9080)], tls_cert=certificate(tmp_path)))
    )
    checked = subprocess.run([str(haproxy()), "-c", "-f", str(path)], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_configuration_says_for_what_each_server_is() -> None:
    lines = [line.strip() for line in haproxy_config(GatewayParams(TWO)).splitlines()]
    assert "server api2 api-2.internal:8081" in lines
    assert "server api2 api-2.internal:8081 track requests/api2" in lines
    assert "server api2 api-2.internal:9081 track requests/api2" in lines
    # As many files as connections need; HAProxy would refuse to start with a maxconn above what the system allows.
    assert not any(line.startswith("maxconn") for line in lines)


@pytest.mark.parametrize(
    ("text", "api"),
    [
        ("10.0.0.1:8080", ApiAddress("10.0.0.1", 8080, 9080)),
        (" api:8080/8080 ", ApiAddress("api", 8080, 8080)),
        ("[::1]:1/2", ApiAddress("[::1]", 1, 2)),
    ],
)
def test_an_address_of_an_api_is_read_with_its_internal_port(text: str, api: ApiAddress) -> None:
    assert ApiAddress.read(text) == api


@pytest.mark.parametrize("text", ["", "api", "api:", "api:0", "api:99999", "a b:80", "api:80 check", "api:65000"])
def test_what_is_no_address_is_refused_with_the_settings_name(text: str) -> None:
    with pytest.raises(GatewayRefused, match="HEXHAIL_GATEWAY_APIS"):
        ApiAddress.read(text)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"phone": "911'\nglobal"}, "HEXHAIL_GATEWAY_PHONE"),
        ({"host": "0.0.0.0 ssl"}, "HEXHAIL_GATEWAY_HOST"),
        ({"internal_host": "a\nb"}, "HEXHAIL_GATEWAY_INTERNAL_HOST"),
        ({"trusted_proxies": ["everybody"]}, "HEXHAIL_GATEWAY_TRUSTED_PROXIES"),
        ({"tls_cert": Path("/etc/a b.pem")}, "a path"),
        ({"apis": []}, "HEXHAIL_GATEWAY_APIS"),
    ],
)
def test_what_would_be_another_line_of_the_configuration_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(GatewayRefused, match=named):
        GatewayParams(**{"apis": TWO} | changes)


def test_nothing_in_a_quoted_text_is_read_by_haproxy() -> None:
    assert quoted('it\'s $HOME "x" # no comment') == "'it'\\''s $HOME \"x\" # no comment'"


def test_without_settings_the_gateway_stands_before_the_api_of_this_machine() -> None:
    params = GatewayParams.of(Settings(api_port=8090, internal_port=8090))
    assert params.apis == [ApiAddress("127.0.0.1", 8090, 8090)]
    several = GatewayParams.of(Settings(gateway_apis="a:1,b:2/3", gateway_trusted_proxies="10.0.0.0/8, 192.0.2.1"))
    assert [api.internal_port for api in several.apis] == [1001, 3]
    assert several.trusted_proxies == ["10.0.0.0/8", "192.0.2.1"]


def test_the_command_writes_the_configuration(tmp_path: Path) -> None:
    path, env = tmp_path / "haproxy.cfg", {"HEXHAIL_GATEWAY_PHONE": "+49 30 5550100"}
    assert CliRunner().invoke(app, ["gateway", "config", "--out", str(path)], env=env).exit_code == 0
    assert "+49 30 5550100" in path.read_text()
    assert CliRunner().invoke(app, ["gateway", "config"], env=env).stdout == path.read_text()
    refused = CliRunner().invoke(app, ["gateway", "config"], env={"HEXHAIL_GATEWAY_APIS": "nonsense"})
    assert (refused.exit_code, "HEXHAIL_GATEWAY_APIS" in refused.stderr) == (1, True)


def test_without_haproxy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("hexhail.gateway.haproxy.find_spec", lambda name: None)
    with pytest.raises(DependencyMissing, match="make gateway"):
        find_haproxy()
