"""The description of the API: valid, complete, with examples that are true, and served without anybody else's server."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from django.test import Client
from drf_spectacular.validation import validate_schema

from tests.integration.description import description

METHODS = ("get", "post", "put", "patch", "delete")


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in description()["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def test_it_is_openapi_3_1() -> None:
    assert description()["openapi"].startswith("3.1")
    validate_schema(description())


def test_every_operation_says_what_it_does_who_may_and_how_it_fails() -> None:
    assert len(operations()) >= 12
    for method, path, operation in operations():
        where = f"{method} {path}"
        assert operation.get("summary") and operation.get("description"), where
        assert operation["security"] and all(scopes["oauth2"] for scopes in operation["security"]), where
        assert {"401", "403", "429"} <= set(operation["responses"]), where
        assert not path.endswith("/"), where


def test_every_answer_has_an_example_of_its_own_shape() -> None:
    without, wrong = [], []
    for method, path, operation in operations():
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                continue
            for kind, media in answer.get("content", {}).items():
                if kind != "application/json":
                    continue
                schema = {**media["schema"], "components": description()["components"]}
                validator = jsonschema_rs.validator_for(schema)
                examples = [example["value"] for example in media.get("examples", {}).values()]
                if not examples and "/jobs" not in path:
                    without.append(f"{method} {path} {status}")
                wrong += [
                    f"{method} {path} {status}: {error.message}"
                    for example in examples
                    for error in validator.iter_errors(example)
                ]
    assert (without, wrong) == ([], [])


@pytest.mark.django_db
def test_the_pages_need_no_other_server() -> None:
    web = Client()
    served = web.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert served.status_code == 200 and served.json()["openapi"].startswith("3.1")
    for page in ("/api/docs/", "/api/reference/"):
        text = web.get(page).content.decode()
        assert "/api/schema/" in text and "/static/drf_spectacular_sidecar/" in text
        assert "//cdn" not in text and "unpkg" not in text and "jsdelivr" not in text
