"""Requests made up from the OpenAPI description, valid ones and broken ones: never a 500, every fault a problem (on
Feast's wire what its client takes for one), and no status that the description does not have."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from feast.errors import FeastError
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode

QUIET = [*HealthCheck]
VALID, BROKEN = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
FEASTS = ["/get-online-features", "/push", "/write-to-online-store", "/materialize", "/materialize-incremental"]
CASES = [
    ("GET", "/v1/online-features/{feature_service}", VALID),
    ("GET", "/v1/online-features/{feature_service}", BROKEN),
    ("POST", "/v1/online-features", VALID),
    ("POST", "/v1/online-features", BROKEN),
    ("POST", "/v1/push/{push_source}", VALID),
    ("POST", "/v1/push/{push_source}", BROKEN),
    *(("POST", path, mode) for path in FEASTS for mode in (VALID, BROKEN)),
    # Any text is a valid name, so there is no broken request for these.
    ("GET", "/v1/feature-views/{name}", VALID),
    ("GET", "/v1/feature-services/{name}", VALID),
    ("GET", "/v1/entities/{name}", VALID),
    ("GET", "/v1/push-sources/{name}", VALID),
    ("GET", "/v1/freshness/{name}", VALID),
]


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_the_server_answers_as_it_says(client: TestClient, method: str, path: str, mode: GenerationMode) -> None:
    description = client.get("/openapi.json").json()
    operation: Any = schemathesis.openapi.from_dict(description)[path][method]
    described = description["paths"][path][method.lower()]["responses"]

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=QUIET, database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Case[Any]) -> None:
        request = case.as_transport_kwargs(base_url="http://testserver")
        body = {"json": request["json"]} if "json" in request else {"content": request.get("data")}
        response = client.request(
            request["method"], request["url"], params=request.get("params"), headers=dict(request["headers"]), **body
        )
        assert response.status_code < 500, response.text
        made_up = path not in FEASTS and response.status_code in (404, 405)
        if made_up and response.json()["title"] in ("Not Found", "Method Not Allowed"):
            return  # a made-up path that is another route's, or none's
        assert str(response.status_code) in described, response.text
        if response.status_code >= 400 and path in FEASTS:
            if response.status_code != 409:
                assert type(FeastError.from_error_detail(response.json())).__module__ == "feast.errors"
        elif response.status_code >= 400:
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["status"] == response.status_code

    check()
