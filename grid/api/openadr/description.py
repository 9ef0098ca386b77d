"""The official description of OpenADR 3.1.0, and bodies and parameters checked by it.

`openadr3-3.1.0.yaml` is the OpenADR Alliance's (Apache License 2.0), unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml
from django.http import QueryDict
from rest_framework.request import Request

from common.errors import InvalidInput
from grid.core.openadr.timing import is_instant
from grid.queries.openadr import Page
from grid.queries.openadr.objects import MOST_OF_A_PAGE

DESCRIPTION = Path(__file__).with_name("openadr3-3.1.0.yaml")
_LARGEST_INT32 = 2**31 - 1


@cache
def _components() -> dict[str, Any]:
    with DESCRIPTION.open() as file:
        schemas = yaml.load(file, Loader=yaml.CSafeLoader)["components"]["schemas"]
    return {name: _as_json_schema(schema) for name, schema in schemas.items()}


def _as_json_schema(schema: Any) -> Any:
    """OpenAPI 3.0 has words of its own for what JSON Schema says otherwise."""
    if isinstance(schema, list):
        return [_as_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    turned = {
        name: _as_json_schema(value)
        for name, value in schema.items()
        if name not in ("nullable", "example", "discriminator", "exclusiveMaximum", "default")
    }
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        turned["type"] = [schema["type"], "null"]
    return turned


@cache
def _validator(name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": _components()}}
    return jsonschema_rs.Draft7Validator(schema, validate_formats=True, formats={"date-time": is_instant})


@cache
def _properties(name: str) -> frozenset[str]:
    schema = _components()[name]
    variants = [_components()[ref["$ref"].rpartition("/")[2]] for ref in schema.get("oneOf", ())]
    return frozenset().union(*(variant["properties"] for variant in variants or [schema]))


def checked(name: str, value: Any) -> dict[str, Any]:
    """A request's body, less what the description does not know.

    Args:
        name: the schema, such as `eventRequest`.

    Raises:
        InvalidInput: it does not conform; names the field.
    """
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise InvalidInput(
            "It holds a number that is too large.", remedy="Give numbers of double precision."
        ) from error
    kind = value.get("objectType") if isinstance(value, dict) else None
    component = _variant(name, kind)
    fault = next(iter(_validator(component).iter_errors(value)), None)
    if fault is not None:
        path = ".".join(str(step) for step in fault.instance_path)
        raise InvalidInput(_short(fault.message), field=path, remedy=f"The official description of {component} rules.")
    known = _properties(name)
    return {key: item for key, item in value.items() if key in known}


def checked_text(name: str, field: str, value: str) -> str:
    """A parameter that must be one of the description's texts, such as `objectID`.

    Raises:
        InvalidInput: it is none.
    """
    error = next(iter(_validator(name).iter_errors(value)), None)
    if error is not None:
        raise InvalidInput(_short(error.message), field=field)
    return value


def text_parameter(request: Request, field: str, schema: str) -> str:
    """A text of the query, checked; empty if it is not given."""
    given = request.query_params.get(field)
    return "" if given is None else checked_text(schema, field, given)


def list_parameter(request: Request, field: str, schema: str) -> list[str]:
    """A list of the query (`?targets=a&targets=b`), checked."""
    query: QueryDict = request.query_params
    return [checked_text(schema, field, item) for item in query.getlist(field)]


def flag_parameter(request: Request, field: str) -> bool:
    """A truth value of the query; False if it is not given."""
    given = request.query_params.get(field, "false")
    if given not in ("true", "false"):
        raise InvalidInput(f"{given[:40]!r} is neither true nor false.", field=field)
    return given == "true"


def page_parameters(request: Request) -> Page:
    """`skip` and `limit`; by default the first fifty."""
    return Page(
        skip=_number(request, "skip", default=0, most=_LARGEST_INT32),
        limit=_number(request, "limit", default=MOST_OF_A_PAGE, most=MOST_OF_A_PAGE),
    )


def _number(request: Request, field: str, *, default: int, most: int) -> int:
    text = request.query_params.get(field)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most):
        raise InvalidInput(f"{text[:40]!r} is no number from 0 to {most}.", field=field)
    return int(text)


def _variant(name: str, kind: Any) -> str:
    """The variant of a request that its sender means, so that an error speaks of that one."""
    variants: Mapping[Any, str] = {
        "BL_VEN_REQUEST": "BlVenRequest",
        "VEN_VEN_REQUEST": "VenVenRequest",
        "BL_RESOURCE_REQUEST": "BlResourceRequest",
        "VEN_RESOURCE_REQUEST": "VenResourceRequest",
    }
    meant = variants.get(kind) if isinstance(kind, str) else None
    return meant if meant and meant.lower().endswith(name.lower()) else name


def _short(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:297]}..."
