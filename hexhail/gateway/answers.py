"""What the gateway answers itself: problems as the API words them, and a page for people when nobody serves."""

from __future__ import annotations

import html
import json

#: Wall seconds after which clients should try again while no API serves: a process starts within ten to twenty.
AWAY_RETRY_S = 10
#: Wall seconds of the window in which requests are counted: a client that waits so long has its whole budget again.
LIMIT_WINDOW_S = 10

_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta http-equiv="refresh" content="{retry_s}"><title>Back in a moment</title>'
    "<body><h1>We cannot take your request at the moment</h1>"
    "<p>The service is being restarted or repaired. This page tries again every {retry_s} seconds. "
    "A ride that you have already ordered goes on: your driver has your address.</p>{phone}</body></html>"
)


def problem(status: int, code: str, title: str, detail: str, hint: str) -> str:
    """Return the body of a problem, in the form of `api.problems`."""
    return json.dumps(
        {
            "type": f"urn:hexhail:problem:{code}",
            "title": title,
            "status": status,
            "code": code,
            "detail": detail,
            "hint": hint,
        }
    )


def away(status: int, phone: str) -> str:
    """The problem of a service none of whose APIs serves, or whose API did not answer."""
    call = f" In urgent cases call {phone}." if phone else ""
    return problem(
        status,
        "service_away",
        "Not available now",
        f"The service cannot take requests at the moment.{call}",
        "Send the request again after Retry-After seconds; with the same Idempotency-Key where there is one.",
    )


def away_page(phone: str) -> str:
    """The same for people with a browser."""
    number = html.escape(phone)
    digits = "".join(one for one in phone if one in "+0123456789")
    call = f'<p>In urgent cases call <a href="tel:{digits}">{number}</a>.</p>' if phone else ""
    return _PAGE.format(retry_s=AWAY_RETRY_S, phone=call)


def too_many(of: str) -> str:
    """The problem of a client that sends more than it may."""
    return problem(
        429,
        "too_many_requests",
        "Too many requests",
        f"More requests came {of} than may.",
        "Wait Retry-After seconds, then send less at once.",
    )


NO_SUCH_ROUTE = problem(404, "no_such_route", "Not found", "Not Found.", "See the documentation for the routes.")
TOO_LARGE = problem(413, "body_too_large", "Body too large", "The body is too large.", "Send less at once.")
