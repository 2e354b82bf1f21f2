"""What is logged and counted holds nothing of what was asked."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest

from missrec.serving.logs import JsonLines, log_config
from toy_recommender import ToyFusion, toy_recommender
from toy_service import KEY, service

SECRET = "mark-of-a-user"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """The lines of JSON so far."""
    with caplog.at_level(logging.DEBUG, "missrec"):
        yield lambda: [
            JsonLines().format(r) for r in caplog.records if r.name.startswith("missrec")
        ]


def test_a_line_a_request_without_what_was_asked(lines: Any) -> None:
    with service(with_keys=True) as client:
        keyed = {"authorization": f"Bearer {KEY}", "x-request-id": "mine-1"}
        body = {"history": ["b", SECRET], "allow": [SECRET]}
        client.post(f"/v1/recommend?{SECRET}=1", json=body, headers=keyed)
        client.post("/v1/recommend", json={"user": SECRET}, headers=keyed)
        client.post("/v1/recommend", json={SECRET: SECRET}, headers=keyed)
        client.get(f"/v1/items/{SECRET}", headers=keyed)
        client.get(f"/{SECRET}", headers={"authorization": f"Bearer {SECRET}"})
        client.request(SECRET.upper(), "/v1/similar", headers={"x-request-id": f"{SECRET} more"})
        client.post("/v1/explain", json={"history": [SECRET], "item": "a"}, headers=keyed)
        exposed = client.get("/metrics", headers=keyed).text
    written = lines()
    assert SECRET not in "".join(written).lower()
    assert KEY not in "".join(written)
    assert SECRET not in exposed
    requests = [json.loads(line) for line in written if '"message": "request"' in line]
    assert [(one["route"], one["status"]) for one in requests] == [
        ("/v1/recommend", 200),
        ("/v1/recommend", 404),
        ("/v1/recommend", 422),
        ("/v1/items/{key}", 404),
        ("unmatched", 404),
        ("/v1/similar", 405),
        ("/v1/explain", 422),
        ("/metrics", 200),
    ]
    assert {one["request_id"] for one in requests[:4]} == {"mine-1"}
    assert requests[0]["method"] == "POST"
    assert requests[5]["method"] == "other"
    assert requests[0]["ms"] > 0


def test_requests_are_counted_by_route_and_status() -> None:
    with service() as client:
        for key in ("a", "b", "zz"):
            client.get(f"/v1/items/{key}")
        client.post("/v1/similar", json={"items": ["a"]})
        exposed = client.get("/metrics")
    assert exposed.headers["content-type"].startswith("text/plain")
    for line in (
        'missrec_requests_total{route="/v1/items/{key}",status="200"} 2.0',
        'missrec_requests_total{route="/v1/items/{key}",status="404"} 1.0',
        'missrec_request_seconds_count{route="/v1/similar"} 1.0',
        "missrec_batch_size_count 4.0",
        "missrec_waiting 0.0",
    ):
        assert line in exposed.text.splitlines()


class Broken(ToyFusion):
    def encode(self, batch: Any) -> Any:
        raise RuntimeError(SECRET)


def test_a_defect_is_a_500_that_the_log_tells_more_of_but_no_contents(lines: Any) -> None:
    with service(toy_recommender(Broken())) as client:
        answer = client.post("/v1/recommend", json={"history": ["b"]})
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["code"] == "internal"
    assert SECRET not in answer.text
    assert answer.headers["x-request-id"] in error["message"]
    failed = next(line for line in map(json.loads, lines()) if line["level"] == "error")
    assert failed["error"] == "RuntimeError"
    assert failed["request_id"] == answer.headers["x-request-id"]
    assert any("test_records.py" in place for place in failed["at"])
    assert SECRET not in "".join(lines())


def test_the_log_s_config_is_one_of_python_s() -> None:
    config = log_config("warning")
    assert config["root"] == {"level": "WARNING", "handlers": ["stderr"]}
    logging.config.DictConfigurator(config).configure_formatter(config["formatters"]["json"])
