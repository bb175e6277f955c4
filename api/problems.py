"""Errors as RFC 9457 problems: a status, a stable code, what was wrong, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from dispatch import errors as dispatch_errors
from location_ingest.errors import PingLogUnavailable, PingsRefused
from pricing import errors as pricing_errors

MEDIA_TYPE = "application/problem+json"

TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Unprocessable content",
    503: "Not available now",
}

#: HTTP status of each refusal; a class stands for its subclasses unless they are listed before it.
STATUS: Mapping[type[Exception], int] = {
    dispatch_errors.NotFound: 404,
    dispatch_errors.IdempotencyConflict: 422,
    dispatch_errors.CommandRefused: 409,
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


class ApiProblem(Exception):
    """An error that is already told in the API's terms."""

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
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.hint = hint
        self.headers = dict(headers or {})
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


#: For OpenAPI: what every operation may answer.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "What was wrong with the request, and what to do",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
    503: {
        "description": "A part of the service is away; try again",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}


def problem_of(error: Exception) -> ApiProblem | None:
    """The problem that an error of a service is told as; None if it is none of the caller's business."""
    if isinstance(error, ApiProblem):
        return error
    if isinstance(error, PingsRefused):
        return _pings_problem(error.refusals)
    if isinstance(error, PingLogUnavailable):
        retry_after = {"Retry-After": str(max(1, round(error.retry_after_s)))}
        hint = "Nothing is lost: send the same pings again after Retry-After seconds."
        return ApiProblem(503, "ping_log_unavailable", f"{error}.", hint, headers=retry_after)
    for error_type, status in STATUS.items():
        if isinstance(error, error_type):
            return ApiProblem(status, error.code, str(error), error.hint)  # type: ignore[attr-defined]
    return None


def _pings_problem(refusals: Sequence[tuple[int, str]]) -> ApiProblem:
    """Pings that come too late meet the state of the server (409); the others are wrong in themselves (422)."""
    status = 409 if all(reason in ("duplicate_time", "out_of_order") for _, reason in refusals) else 422
    listed = [{"index": index, "reason": str(reason)} for index, reason in refusals]
    index, reason = refusals[0]
    return ApiProblem(
        status,
        f"ping_{reason}",
        f"{len(refusals)} of the pings refused, the first at index {index}: {str(reason).replace('_', ' ')}.",
        "Nothing was taken from this batch: leave the refused pings out and send the others again.",
        refusals=listed,
    )


def validation_problem(errors: Sequence[Mapping[str, Any]]) -> ApiProblem:
    """What pydantic found, field by field, without repeating the input."""
    fields = [{"field": ".".join(str(part) for part in e["loc"]), "reason": e["msg"]} for e in errors]
    first = fields[0]
    return ApiProblem(
        422,
        "invalid",
        f"{first['field']}: {first['reason']}.",
        "See /docs for what this operation takes.",
        errors=fields,
    )


def install(app: FastAPI) -> None:
    """Tell every error of the app as a problem."""

    def told_by(translate: Callable[[Any], ApiProblem]) -> Callable[[Request, Exception], Any]:
        async def handler(request: Request, error: Exception) -> JSONResponse:
            return translate(error).response()

        return handler

    app.add_exception_handler(ApiProblem, told_by(lambda error: error))
    app.add_exception_handler(RequestValidationError, told_by(lambda error: validation_problem(error.errors())))
    app.add_exception_handler(HTTPException, told_by(_http_problem))
    for error_type in (*STATUS, PingsRefused, PingLogUnavailable):
        app.add_exception_handler(error_type, told_by(problem_of))  # type: ignore[arg-type]


def _http_problem(error: HTTPException) -> ApiProblem:
    codes = {404: "no_such_route", 405: "method_not_allowed", 413: "body_too_large", 400: "bad_request"}
    hints = {
        413: "Send less at once.",
        404: "See /docs for the routes.",
        405: "See /docs for the methods of this route.",
    }
    return ApiProblem(
        error.status_code,
        codes.get(error.status_code, "http_error"),
        f"{error.detail}.",
        hints.get(error.status_code, "See /docs."),
        headers=error.headers,
    )
