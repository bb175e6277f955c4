"""The API processes of a demo: one alone, or several behind the gateway."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hexhail.gateway.haproxy import find_haproxy, haproxy_command, write_config
from hexhail.gateway.params import ApiAddress, GatewayParams
from hexhail.runtime.supervisor import Spec

HOST = "127.0.0.1"
#: Wall seconds that an API behind the gateway serves on when it is told to stop, and spreads the ends of its streams.
DRAIN_S, DRAIN_SPREAD_S = 3.0, 1.0
#: Nobody takes over from an API that is alone.
ALONE = {"HEXHAIL_DRAIN_S": "0", "HEXHAIL_DRAIN_SPREAD_S": "0"}
#: All people of a demo come from one address.
UNLIMITED = 0


def port_names(apis: int) -> list[str]:
    """The names of the ports that several APIs need beside those of the gateway."""
    numbers = range(1, apis + 1) if apis > 1 else ()
    return [name for number in numbers for name in (f"api_{number}", f"internal_{number}")]


def internal_ports(apis: int, ports: Mapping[str, int]) -> list[int]:
    """The internal port of each API process."""
    return [ports["internal"]] if apis == 1 else [ports[f"internal_{number}"] for number in range(1, apis + 1)]


def api_specs(apis: int, ports: Mapping[str, int], env: Mapping[str, str], run_dir: Path) -> list[Spec]:
    """The API processes and, for several, the gateway before them. Raises DependencyMissing without HAProxy."""
    command = [sys.executable, "-m", "hexhail", "serve", "api"]
    if apis == 1:
        return [Spec("api", command, {**env, **ALONE})]
    found, addresses = [], []
    for number in range(1, apis + 1):
        address = ApiAddress(HOST, ports[f"api_{number}"], ports[f"internal_{number}"])
        its_own = {
            "HEXHAIL_API_PORT": str(address.port),
            "HEXHAIL_INTERNAL_PORT": str(address.internal_port),
            "HEXHAIL_DRAIN_S": str(DRAIN_S),
            "HEXHAIL_DRAIN_SPREAD_S": str(DRAIN_SPREAD_S),
        }
        # At the end of the demo nobody is left to take over from it; whoever sends it SIGTERM before sees it drain.
        found.append(Spec(f"api-{number}", command, {**env, **its_own}, stop_signal=signal.SIGINT))
        addresses.append(address)
    return [*found, _gateway(addresses, ports, run_dir)]


def _gateway(addresses: Sequence[ApiAddress], ports: Mapping[str, int], run_dir: Path) -> Spec:
    params = GatewayParams(
        addresses,
        port=ports["api"],
        internal_port=ports["internal"],
        address_requests_per_s=UNLIMITED,
        address_connections_max=UNLIMITED,
    )
    return Spec("gateway", haproxy_command(find_haproxy(), write_config(params, run_dir)))
