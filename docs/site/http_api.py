"""The HTTP API, from its OpenAPI document."""

from __future__ import annotations

from collections import defaultdict
from contextlib import asynccontextmanager
from typing import Any

from api.app import build_app

_METHODS = ("get", "post", "put", "patch", "delete")
_HEAD = """# HTTP API

Generated from the OpenAPI document, which a running city serves at `/openapi.json`, with pages to try it at `/docs`.
Errors are RFC 9457 problems: `type`, `title`, `status`, `code`, `detail`.
"""


def document() -> dict[str, Any]:
    """The OpenAPI document of the API; nothing is connected."""

    @asynccontextmanager
    async def nothing() -> Any:
        raise RuntimeError("only the document is asked for")
        yield

    return build_app(nothing).openapi()


def page() -> str:
    """The page, in Markdown."""
    api = document()
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, item in sorted(api["paths"].items()):
        for method in _METHODS:
            if method in item:
                operation = item[method]
                tag = (operation.get("tags") or ["other"])[0]
                by_tag[tag].append(_operation(method, path, operation))
    routes = [f"## {tag}\n\n" + "\n".join(by_tag[tag]) for tag in sorted(by_tag)]
    bodies = "## Bodies\n\n" + "\n".join(_schema(name, one) for name, one in sorted(_schemas(api).items()))
    return "\n".join([_HEAD, *routes, bodies])


def _schemas(api: dict[str, Any]) -> dict[str, Any]:
    schemas: dict[str, Any] = api["components"]["schemas"]
    return schemas


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    said = (operation.get("description") or operation.get("summary") or "").strip()
    answers = ", ".join(f"{status} {_body(answer)}".strip() for status, answer in operation["responses"].items())
    asked = _body(operation.get("requestBody", {}))
    lines = [f"### `{method.upper()} {path}`\n", said + "\n"]
    if asked:
        lines.append(f"- body: {asked}")
    lines += [_parameter(one) for one in operation.get("parameters", ())]
    return "\n".join([*lines, f"- answers: {answers}\n"])


def _parameter(one: dict[str, Any]) -> str:
    optional = "" if one.get("required") else ", optional"
    return f"- {one['in']} `{one['name']}`{optional}: {one.get('description', '')}".rstrip(": ")


def _body(part: dict[str, Any]) -> str:
    for content in part.get("content", {}).values():
        return _type(content.get("schema", {}))
    return ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    return str(schema.get("type", ""))


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = [
        f"| `{key}` | {_type(one)} | {'yes' if key in schema.get('required', ()) else 'no'} "
        f"| {str(one.get('description', '')).replace('|', chr(92) + '|')} |"
        for key, one in schema.get("properties", {}).items()
    ]
    values = schema.get("enum")
    table = "| field | type | required | meaning |\n|---|---|---|---|\n" + "\n".join(rows) if rows else ""
    listed = "One of " + ", ".join(f"`{value}`" for value in values) if values else ""
    return f"### {name}\n\n{(schema.get('description') or '').strip()}\n\n{table}{listed}\n"
