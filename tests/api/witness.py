"""Checks every response of the API against its OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import httpx

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class Witness:
    """Sees every response of a client; raises AssertionError for one that the OpenAPI document does not allow."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.succeeded: set[tuple[str, str]] = set()
        self._paths = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in document["paths"]]

    async def __call__(self, response: httpx.Response) -> None:
        method = response.request.method.lower()
        path = next((path for pattern, path in self._paths if pattern.fullmatch(response.request.url.path)), None)
        if path is None or method not in self.document["paths"][path]:
            assert response.status_code in (200, 404, 405)
            return
        await response.aread()
        where = f"{method} {path} -> {response.status_code} {response.text[:300]}"
        declared = self.document["paths"][path][method]["responses"]
        status = str(response.status_code)
        answer = declared.get(status) or declared.get(f"{status[0]}XX")
        assert answer is not None, f"{where}: this status is not declared"
        media_type = response.headers["content-type"].partition(";")[0]
        assert media_type in answer["content"], f"{where}: {media_type} is not declared"
        if media_type.endswith("json"):
            self.check(response.json(), answer["content"][media_type]["schema"], where)
        for header in ("retry-after", "idempotency-replayed"):
            if header in response.headers:
                assert header in map(str.lower, answer.get("headers", {})), f"{where}: {header} is not declared"
        is_told = "retry-after" in response.headers or path in ("/readyz", "/v1/ops/health")
        assert response.status_code != 503 or is_told, where
        if response.is_success:
            self.succeeded.add((method, path))

    def check(self, value: Any, schema: dict[str, Any], where: str) -> None:
        """The part of JSON Schema that the document uses."""
        schema = self.resolve(schema)
        if "anyOf" in schema:
            assert any(self._fits(value, option, where) for option in schema["anyOf"]), f"{where}: {value!r}"
            return
        if "enum" in schema:
            assert value in schema["enum"], f"{where}: {value!r} is none of {schema['enum']}"
        if "type" in schema:
            assert isinstance(value, TYPES[schema["type"]]), f"{where}: {value!r} is no {schema['type']}"
            assert not isinstance(value, bool) or schema["type"] == "boolean", f"{where}: {value!r}"
        if isinstance(value, dict):
            self._check_object(value, schema, where)
        if isinstance(value, list):
            for item in value:
                self.check(item, schema.get("items", {}), where)

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema that a reference stands for."""
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def _check_object(self, value: dict[str, Any], schema: dict[str, Any], where: str) -> None:
        properties = schema.get("properties", {})
        missing = set(schema.get("required", ())) - set(value)
        assert not missing, f"{where}: {missing} missing"
        for name, item in value.items():
            if name in properties:
                self.check(item, properties[name], f"{where}.{name}")
            else:
                # What our models do not name they do not send, but for problems, which may say more.
                assert not properties or schema.get("additionalProperties"), f"{where}: {name} is not declared"

    def _fits(self, value: Any, schema: dict[str, Any], where: str) -> bool:
        try:
            self.check(value, schema, where)
        except AssertionError:
            return False
        return True
