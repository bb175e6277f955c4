"""Maps errors to RFC 9457 problems: status, stable code, detail and remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from dispatch import errors as dispatch_errors
from kernel.errors import HexhailError
from location_ingest.errors import PingLogUnavailable, PingsRefused
from location_ingest.model import NOT_NEWER
from pricing import errors as pricing_errors
from workflows.errors import LimitReached

MEDIA_TYPE = "application/problem+json"

TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Unprocessable content",
    429: "Too many requests",
    500: "Our fault",
    503: "Not available now",
}

#: HTTP status of each refusal; a class stands for its subclasses unless they are listed before it.
STATUS: Mapping[type[HexhailError], int] = {
    dispatch_errors.NotFound: 404,
    dispatch_errors.IdempotencyConflict: 422,
    dispatch_errors.OffRoad: 422,
    dispatch_errors.NotListed: 403,
    dispatch_errors.CommandRefused: 409,
    dispatch_errors.OffersStopped: 503,
    LimitReached: 429,
    pricing_errors.QuoteExpired: 409,
    pricing_errors.QuoteUnusable: 422,
    pricing_errors.QuoteRefused: 422,
}


class Problem(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str


class ApiProblem(HTTPException):
    """An error that is already expressed as a problem of the API.

    It is one of Starlette's own, so that FastAPI lets it pass while it reads a body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        hint: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(status, detail, headers)
        self.status = status
        self.code = code
        self.hint = hint
        self.more = more

    def body(self) -> dict[str, Any]:
        """The problem as a JSON object."""
        return {
            "type": f"urn:hexhail:problem:{self.code}",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "hint": self.hint,
            **self.more,
        }

    def response(self) -> JSONResponse:
        """The problem as an HTTP response."""
        return JSONResponse(self.body(), self.status, headers=self.headers, media_type=MEDIA_TYPE)


_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
#: For OpenAPI: what every operation may answer.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "What was wrong with the request, and what to do",
        "headers": {
            "Retry-After": {"description": "seconds to wait, of a limit", "schema": {"type": "integer"}},
            "RateLimit": {
                "description": "what is left of the person's requests of this kind: r now, all of them in t seconds",
                "schema": {"type": "string"},
            },
            "RateLimit-Policy": {
                "description": "the limit: q requests of this kind in w seconds",
                "schema": {"type": "string"},
            },
        },
        "content": _CONTENT,
    },
    500: {"description": "Our fault; the error_id stands in the log", "content": _CONTENT},
    503: {
        "description": "A part of the service is away; try again",
        "headers": {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}},
        "content": _CONTENT,
    },
}

#: Fields named in one answer; a body of nothing but mistakes is not answered at its own length.
FIELDS_TOLD_MAX = 20
FIELD_CHARS_MAX = 100


def problem_of(error: Exception) -> ApiProblem | None:
    """Return the problem for an error of a service; None if callers must not see it."""
    if isinstance(error, ApiProblem):
        return error
    if isinstance(error, PingsRefused):
        return _pings_problem(error.refusals)
    if isinstance(error, PingLogUnavailable):
        hint = "Nothing is lost: send the same pings again after Retry-After seconds."
        return ApiProblem(503, "ping_log_unavailable", f"{error}.", hint, headers=_retry_after(error))
    if isinstance(error, dispatch_errors.TooEarly):
        return ApiProblem(409, error.code, str(error), error.hint, seconds_left=error.seconds_left)
    for error_type, status in STATUS.items():
        if isinstance(error, error_type):
            return ApiProblem(status, error.code, str(error), error.hint, headers=_retry_after(error))
    return None


def _retry_after(error: HexhailError) -> dict[str, str] | None:
    """The header in whole seconds, never shorter than the error says."""
    return None if error.retry_after_s is None else {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}


#: Index in the batch, reason and field of a ping: `location_ingest.model.Refusal`.
PingRefusal = tuple[int, str, str]


def refusal_bodies(refusals: Sequence[PingRefusal]) -> list[dict[str, Any]]:
    """The refused pings of a batch, for the response body."""
    return [{"index": index, "field": field, "reason": str(reason)} for index, reason, field in refusals]


def _pings_problem(refusals: Sequence[PingRefusal]) -> ApiProblem:
    """Pings that come too late meet the state of the server (409); the others are wrong in themselves (422)."""
    wrong = [refusal for refusal in refusals if refusal[1] not in NOT_NEWER]
    index, reason, field = (wrong or refusals)[0]
    what = f"{field}: {reason.replace('_', ' ')}".removeprefix(": ")
    return ApiProblem(
        422 if wrong else 409,
        f"ping_{reason}",
        f"None of the {len(refusals)} pings is good; at index {index}, {what}.",
        "Do not send these again; correct what is named in `refusals`. Good pings of a batch count beside bad ones.",
        refusals=refusal_bodies(refusals),
    )


def validation_problem(errors: Sequence[Mapping[str, Any]]) -> ApiProblem:
    """What pydantic found, field by field, without repeating the input."""
    fields = [
        {"field": ".".join(str(part) for part in e["loc"])[:FIELD_CHARS_MAX], "reason": e["msg"]}
        for e in errors[:FIELDS_TOLD_MAX]
    ]
    first = fields[0]
    return ApiProblem(
        422,
        "invalid",
        f"{first['field']}: {first['reason']}.",
        "Mend what errors names, field by field, and send the request again.",
        errors=fields,
    )


def _media_type_problem(request: Request, error: RequestValidationError) -> ApiProblem | None:
    """415, if the body as a whole was not understood because it does not say that it is JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type.endswith(("/json", "+json"))
    if is_json or not any(e["loc"] == ("body",) and e["type"] != "missing" for e in error.errors()):
        return None
    detail = f"The body is {media_type or 'of no type'}, not JSON."[:200]
    return ApiProblem(415, "not_json", detail, "Send JSON with 'Content-Type: application/json'.")


def install(app: FastAPI) -> None:
    """Register handlers that answer every error of the app with a problem."""

    def handler_of(translate: Callable[[Any], ApiProblem]) -> Callable[[Request, Exception], Any]:
        async def handler(request: Request, error: Exception) -> JSONResponse:
            return translate(error).response()

        return handler

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # registered for nothing else
        return (_media_type_problem(request, error) or validation_problem(error.errors())).response()

    app.add_exception_handler(ApiProblem, handler_of(lambda error: error))
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, handler_of(_http_problem))
    for error_type in (*STATUS, PingsRefused, PingLogUnavailable):
        app.add_exception_handler(error_type, handler_of(problem_of))  # type: ignore[arg-type]  # FastAPI wants the base class of errors


def _http_problem(error: HTTPException) -> ApiProblem:
    codes = {404: "no_such_route", 405: "method_not_allowed", 400: "bad_request"}
    hints = {
        404: "Check the path: routes for riders and drivers begin with /v1.",
        405: "Use a method that the Allow header names.",
    }
    return ApiProblem(
        error.status_code,
        codes.get(error.status_code, "http_error"),
        f"{error.detail}.",
        hints.get(error.status_code, "Mend what detail says, and send the request again."),
        headers=error.headers,
    )
