"""Writes the configuration of HAProxy 2.6 or newer. Pure: the same parameters give the same text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.limits import BODY_BYTES_MAX
from api.port_rules import DOCS, INTERNAL, INTERNAL_PAGE
from hexhail.gateway import answers
from hexhail.gateway.params import ApiAddress, GatewayParams

#: Paths of the gateway itself: for a balancer in front of several gateways.
ALIVE_PATH = "/gateway/healthz"
#: Files that a connection needs, with the one to the API behind it, and some to spare.
FILES_PER_CONNECTION = 2
FILES_TO_SPARE = 500

#: Wall seconds. An answer of the API takes milliseconds; the slowest, of a large picture, under a second.
ANSWER_S_MAX = 30
#: A phone on a poor line sends the head of a request within this, as `api.http_protocol` allows.
HEAD_S_MAX = 10
#: Of silence from a client that is sending a body; the API gives the whole body 20 s.
CLIENT_S_MAX = 30
#: A socket is never silent for longer: the API pings each 20 s and hangs up on who does not answer within 20.
SOCKET_SILENCE_S_MAX = 90
#: A check is answered in milliseconds, but a machine that is busy with a new map may take seconds.
CHECK_S_MAX = 4

#: Bodies above this are cut off at their head. Those between the API's limit and this go on to the API, which reads
#: them to the end: only then does a client that is still sending hear why they are refused.
BODY_BYTES_CUT = 16 * BODY_BYTES_MAX

JSON = "application/problem+json"


def haproxy_config(params: GatewayParams) -> str:
    """Return the text of the configuration."""
    sections = (_global(params), _defaults(params), *_tables(), _people(params), _operators(params), *_backends(params))
    head = "# Written by `hexhail gateway config` from the settings HEXHAIL_GATEWAY_…; change those, not this file."
    return "\n\n".join([head, *("\n    ".join(section) for section in sections)]) + "\n"


def quoted(text: str) -> str:
    """Return a text as one word in which HAProxy reads nothing."""
    return "'" + text.replace("'", "'\\''") + "'"


def _global(params: GatewayParams) -> Iterator[str]:
    yield "global"
    yield "log stdout format raw local0 info"
    # HAProxy allows itself as many connections as its files suffice for, and no more than these.
    yield f"fd-hard-limit {FILES_PER_CONNECTION * params.connections_max + FILES_TO_SPARE}"
    yield "ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets"
    if params.admin_socket is not None:
        yield f"stats socket {params.admin_socket} mode 600 level admin"


def _defaults(params: GatewayParams) -> Iterator[str]:
    yield "defaults"
    yield "mode http"
    yield "log global"
    yield "option dontlognull"
    yield _log_format()
    yield "timeout connect 2s"
    yield f"timeout client {CLIENT_S_MAX}s"
    yield f"timeout http-request {HEAD_S_MAX}s"
    yield "timeout http-keep-alive 30s"
    yield "timeout client-fin 5s"
    yield "timeout queue 5s"
    yield f"timeout server {ANSWER_S_MAX}s"
    yield f"timeout tunnel {SOCKET_SILENCE_S_MAX}s"
    yield f"timeout check {CHECK_S_MAX}s"
    # What was never sent may go to another API. What was sent is repeated only where the backend says so.
    yield "retries 3"
    yield "option redispatch 1"
    yield "retry-on conn-failure empty-response"
    for status in (502, 503, 504):
        body = quoted(answers.away(status, params.phone))
        yield f"http-error status {status} content-type {JSON} string {body} hdr Retry-After {answers.AWAY_RETRY_S}"


def _log_format() -> str:
    fields = {
        "role": '"gateway"',
        "timestamp": '"%trg"',
        "request_id": '"%ID"',
        "client": '"%[src]"',
        "request": '"%[capture.req.method,json(utf8s)] %[capture.req.uri,json(utf8s)]"',
        "status": "%ST",
        "server": '"%s"',
        "ms": "%Ta",
        "bytes": "%B",
        "retries": '"%rc"',
        "ended": '"%ts"',
    }
    return "log-format " + quoted("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}")


def _tables() -> Iterator[Sequence[str]]:
    """What is counted of each address and token: in sections of their own, for a section has one table."""
    window = f"http_req_rate({answers.LIMIT_WINDOW_S}s)"
    yield "backend by_address", f"stick-table type ipv6 size 200k expire 60s store {window},conn_cur"
    yield "backend by_token", f"stick-table type binary len 32 size 200k expire 60s store {window}"
    yield "backend lines", "stick-table type ipv6 size 200k expire 60s store conn_cur"


def _bind(host: str, port: int, params: GatewayParams) -> str:
    tls = "" if params.tls_cert is None else f" ssl crt {params.tls_cert} alpn h2,http/1.1"
    return f"bind {host or '*'}:{port}{tls}"


def _people(params: GatewayParams) -> Iterator[str]:
    """Riders and drivers: the open internet."""
    yield "frontend people"
    yield _bind(params.host, params.port, params)
    yield from _lines(params)
    yield f"monitor-uri {ALIVE_PATH}"
    yield "monitor fail if { nbsrv(requests) lt 1 }"
    yield from _head(params)
    yield from _limits(params)
    yield from _nobody_serves(params)
    yield from _closed_routes()
    yield _problem(413, answers.TOO_LARGE, f"if {{ req.body_size gt {BODY_BYTES_CUT} }}")
    yield "use_backend sockets if { req.hdr(upgrade) -m found }"
    yield "default_backend requests"


def _lines(params: GatewayParams) -> Iterator[str]:
    """Connections of one address, also of those that say nothing: hung up on above twice what requests may be."""
    if not params.address_connections_max:
        return
    others = f" !{{ src {' '.join(params.trusted_proxies)} }}" if params.trusted_proxies else ""
    yield "tcp-request connection track-sc2 src table lines"
    above = f"{{ sc2_conn_cur gt {2 * params.address_connections_max} }}"
    yield f"tcp-request connection reject if {above}{others}"


def _head(params: GatewayParams) -> Iterator[str]:
    """Who asks, and under which id the request is found in the logs."""
    yield "unique-id-format %[uuid()]"
    if params.trusted_proxies:
        yield f"acl is_proxy src {' '.join(params.trusted_proxies)}"
        yield "http-request set-src req.hdr_ip(x-forwarded-for,-1) if is_proxy { req.hdr(x-forwarded-for) -m found }"
    for name in ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded"):
        yield f"http-request del-header {name}"
    yield "http-request set-header X-Forwarded-For %[src]"
    yield "http-request set-header X-Forwarded-Proto https if { ssl_fc }"
    yield "http-request set-header X-Forwarded-Proto http if !{ ssl_fc }"
    yield "http-request set-header X-Request-Id %[unique-id]"
    yield "http-after-response set-header X-Request-Id %[unique-id]"


def _closed_routes() -> Iterator[str]:
    """Operators' routes, metrics and documentation; the API does not serve them at its public port either."""
    closed = (*INTERNAL, *DOCS, INTERNAL_PAGE)
    # Compared as the API will read it: with its escapes taken away.
    for path in closed:
        match = "-m beg" if path.endswith("/") and path != INTERNAL_PAGE else "-m str"
        yield f"acl is_closed path,url_dec {match} {path}"
    yield _problem(404, answers.NO_SUCH_ROUTE, "if is_closed")


def _limits(params: GatewayParams) -> Iterator[str]:
    retry = f"hdr Retry-After {answers.LIMIT_WINDOW_S}"
    yield "http-request track-sc0 src table by_address"
    # By the token itself, not by the subject that it claims: a forged one must not use up somebody else's budget.
    yield "acl has_token req.hdr(authorization) -m found"
    yield "http-request track-sc1 req.hdr(authorization),sha2(256) table by_token if has_token"
    # From browsers a WebSocket's token comes in the subprotocol.
    yield "acl in_protocol req.hdr(sec-websocket-protocol) -m found"
    yield "http-request track-sc1 req.hdr(sec-websocket-protocol),sha2(256) table by_token if !has_token in_protocol"
    for counter, per_s, of in (
        ("sc0", params.address_requests_per_s, "from your address"),
        ("sc1", params.token_requests_per_s, "with your token"),
    ):
        if per_s:
            above = f"if {{ {counter}_http_req_rate gt {per_s * answers.LIMIT_WINDOW_S} }}"
            yield _problem(429, answers.too_many(of), f"{retry} {above}")
    if params.address_connections_max:
        above = f"if {{ sc0_conn_cur gt {params.address_connections_max} }}"
        yield _problem(429, answers.too_many("from your address at once"), f"{retry} {above}")


def _problem(status: int, body: str, rest: str) -> str:
    return f"http-request return status {status} content-type {JSON} string {quoted(body)} {rest}"


def _nobody_serves(params: GatewayParams) -> Iterator[str]:
    yield "acl nobody_serves nbsrv(requests) lt 1"
    retry = f"hdr Retry-After {answers.AWAY_RETRY_S} hdr Cache-Control no-store"
    page = quoted(answers.away_page(params.phone))
    for_people = "if nobody_serves { req.hdr(accept) -m sub text/html }"
    yield f"http-request return status 503 content-type 'text/html; charset=utf-8' string {page} {retry} {for_people}"
    yield _problem(503, answers.away(503, params.phone), f"{retry} if nobody_serves")


def _operators(params: GatewayParams) -> Iterator[str]:
    """Operators and monitoring: an internal address; `/metrics` are the gateway's own."""
    yield "frontend operators"
    yield _bind(params.internal_host, params.internal_port, params)
    yield f"monitor-uri {ALIVE_PATH}"
    yield "http-request use-service prometheus-exporter if { path /metrics }"
    yield from _head(params)
    yield from _nobody_serves(params)
    yield "default_backend internal"


def _backends(params: GatewayParams) -> Iterator[Sequence[str]]:
    yield (
        "backend requests",
        "balance roundrobin",
        "option httpchk",
        "http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host gateway",
        "http-check expect status 200",
        *_repeats(),
        # Out after three failures within some two seconds, or at once where three connections fail; in after two
        # successes. Sockets of a server that is out stay until it closes them.
        "default-server check inter 1s fastinter 500ms downinter 1s fall 3 rise 2",
        "default-server observe layer4 error-limit 3 on-error mark-down",
        *(f"server {name} {api.host}:{api.port}" for name, api in _named(params.apis)),
    )
    yield (
        "backend sockets",
        "balance leastconn",
        *(f"server {name} {api.host}:{api.port} track requests/{name}" for name, api in _named(params.apis)),
    )
    yield (
        "backend internal",
        "balance roundrobin",
        *_repeats(),
        *(f"server {name} {api.host}:{api.internal_port} track requests/{name}" for name, api in _named(params.apis)),
    )


def _repeats() -> Iterator[str]:
    """An API that dies in the middle of a request: it is sent again where that changes nothing, or has a key for it."""
    # Only a request that is there as a whole can be sent again: small bodies are waited for.
    yield "option http-buffer-request"
    yield "acl may_be_repeated method GET HEAD"
    yield "acl may_be_repeated req.hdr(idempotency-key) -m found"
    yield "http-request disable-l7-retry if !may_be_repeated"


def _named(apis: Sequence[ApiAddress]) -> Iterator[tuple[str, ApiAddress]]:
    return ((f"api{number}", api) for number, api in enumerate(apis, start=1))
