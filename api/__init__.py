"""The HTTP and WebSocket interface for riders, drivers and operators."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from api.app import build_app
    from api.auth.tokens import Role, Tokens
    from api.problems import ApiProblem

__all__ = ["ApiProblem", "Role", "Tokens", "build_app"]

__getattr__ = lazy(
    __name__,
    {"ApiProblem": "problems", "Role": "auth.tokens", "Tokens": "auth.tokens", "build_app": "app"},
)
