"""Maps server-side errors to problems: an unavailable dependency (503) or an unexpected error (500)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import ApiProblem, problem_of
from backing.sql.failures import CommitUnknown

log = structlog.get_logger(__name__)

#: Error type -> the dependency that is unavailable when it is raised.
Outages = Mapping[type[Exception], str]

#: Seconds of the Retry-After header: a restarted server is usually back by then.
RETRY_AFTER_S = 2


def problem_of_failure(error: Exception, outages: Outages) -> ApiProblem:
    """Map any exception to a problem response. Unexpected errors are logged; the caller gets only the error id."""
    problem = problem_of(error)
    if problem is not None:
        return problem
    if isinstance(error, CommitUnknown):
        log.warning("outcome_unknown", error=repr(error))
        return _outcome_unknown()
    for error_type, part in outages.items():
        if isinstance(error, error_type):
            log.warning("dependency_unavailable", part=part, error=repr(error))
            return _dependency_unavailable(part)
    error_id = uuid.uuid4().hex
    log.error("unforeseen_error", error_id=error_id, exc_info=error)
    return ApiProblem(
        500,
        "internal_error",
        f"This is our fault, not yours; it was logged as {error_id}.",
        "Try again; if it stays so, tell the operators the error_id.",
        error_id=error_id,
    )


def _dependency_unavailable(part: str) -> ApiProblem:
    detail = f"The service cannot use its {part} at the moment."
    hint = "Send the request again after Retry-After seconds; with the same Idempotency-Key where there is one."
    return ApiProblem(503, "part_unavailable", detail, hint, headers={"Retry-After": str(RETRY_AFTER_S)})


def _outcome_unknown() -> ApiProblem:
    detail = "The database was lost while the change was being stored: it is stored as a whole, or not at all."
    hint = (
        "Send the same request with the same Idempotency-Key again after Retry-After seconds: it happens once, and you "
        "are told how it ended. Without a key, read first whether it happened."
    )
    return ApiProblem(503, "outcome_unknown", detail, hint, headers={"Retry-After": str(RETRY_AFTER_S)})


class Failures:
    """ASGI middleware that turns every unhandled exception of the routes into a problem response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Raises the error if the response has begun: the connection must then be closed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            problem = problem_of_failure(error, scope["app"].state.edges.access.outages)
            if has_begun:
                raise
            await problem.response()(scope, receive, send)
