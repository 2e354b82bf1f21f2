"""What the OpenAPI document promises, whatever is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from missrec.serving.app import create_app
from missrec.serving.settings import ServiceSettings
from toy_recommender import toy_recommender

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ROOT = Path(__file__).resolve().parents[2]
ROUTES = [
    ("POST", "/v1/recommend"),
    ("POST", "/v1/similar"),
    ("POST", "/v1/explain"),
    ("GET", "/v1/items/{key}"),
    ("GET", "/v1/interests"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/admin/reload"),
]


@pytest.fixture(scope="module")
def document() -> Any:
    """The document of a service that schemathesis has started."""
    app = create_app(toy_recommender(), ServiceSettings(batch_sec=0.0))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def test_the_document_tells_all_routes(document: Any) -> None:
    paths = document.raw_schema["paths"]
    found = {(method.upper(), path) for path, of in paths.items() for method in of}
    assert found == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_input_is_answered_by_a_5xx_nor_by_what_the_document_does_not_tell(
    document: Any, method: str, path: str
) -> None:
    operation = document[path][method]
    modes = list(schemathesis.GenerationMode)
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def ask(case: Any) -> None:
        case.validate_response(case.call(), checks=CHECKS)

    ask()


@pytest.mark.parametrize(
    ("schema", "route"),
    [
        ("RecommendRequest", "recommend"),
        ("SimilarRequest", "similar"),
        ("ExplainRequest", "explain"),
    ],
)
def test_the_examples_of_the_document_are_answered(
    client: TestClient, schema: str, route: str
) -> None:
    described = client.get("/openapi.json").json()["components"]["schemas"][schema]
    (example,) = described["examples"]
    answer = client.post(f"/v1/{route}", json=example)
    assert answer.status_code in {200, 404}
    assert answer.status_code == 200 or "no item has the key" in answer.text


def test_the_docs_name_every_route() -> None:
    told = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    assert [route for route in ROUTES if " ".join(route) not in told] == []
