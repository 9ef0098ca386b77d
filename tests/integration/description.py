"""The API's own description, and whether what it answers is what it describes."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jsonschema_rs
from drf_spectacular.generators import SchemaGenerator


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document."""
    return SchemaGenerator().get_schema(request=None, public=True)


def check_answer(method: str, path: str, status: int, content_type: str, body: Any) -> None:
    """Raise if an answer is not one that the description names, or does not have the shape that it gives."""
    operation = _operation(method, path)
    if operation is None:
        return
    answers = operation["responses"]
    assert str(status) in answers, f"{method} {path} answers {status}, which its description does not name"
    media = answers[str(status)]["content"]
    kind = content_type.partition(";")[0]
    assert kind in media, f"{method} {path} answers {kind}, its description names {', '.join(media)}"
    schema = {**media[kind]["schema"], "components": description()["components"]}
    jsonschema_rs.validator_for(schema).validate(body)


def _operation(method: str, path: str) -> dict[str, Any] | None:
    route = "/" + path.partition("?")[0].strip("/")
    for template, operations in description()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), route):
            return operations.get(method.lower())
    return None
