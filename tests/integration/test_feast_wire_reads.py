"""Reads over Feast's wire by raw HTTP, on both profiles: the shapes of Feast's server, and faults in its form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from feast import FeatureStore
from feast.feature_server_utils import convert_response_to_dict

from tests.integration import feast_clients
from tests.integration.feast_requests import NOW, frame, push, told
from tests.integration.profiles import Profile


@pytest.fixture(scope="module")
def stock(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    """Stock Feast over the same online store."""
    environment = profile.environment
    if profile.name == "production":
        registry = environment["FRESHET_REGISTRY_URL"]
        online = {"type": "redis", "connection_string": environment["REDIS_CONNECTION_STRING"]}
    else:
        registry = f"sqlite:///{profile.settings.data_path}/registry.db"
        online = {"type": "sqlite", "path": str(profile.settings.data_path / "online.db")}
    with feast_clients.direct(online, "freshet", registry, tmp_path_factory.mktemp("feast")) as store:
        yield store


def vectors(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert set(answer) == {"results", "metadata"}
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "features", [None, ["user_realtime:current_session_tokens", "user_engagement:tokens_per_message"]]
)
def test_the_answer_is_the_one_that_feasts_server_makes(
    client: TestClient, stock: FeatureStore, profile: Profile, features: list[str] | None, full: bool
) -> None:
    moment = NOW.replace(microsecond=120_000)
    assert push(client, frame("shape", moment=moment, current_session_tokens=[None])).status_code == 200
    entities = {"user_id": ["u1", "shape", "nobody"]}
    body = {
        **({"features": features} if features else {"feature_service": "assistant_v1"}),
        "entities": entities,
        "full_feature_names": full,
        "include_feature_view_version_metadata": True,
    }
    ours = client.post("/get-online-features", json=body).json()
    asked: Any = features or stock.get_feature_service("assistant_v1")
    answer = stock.get_online_features(asked, entities, full, include_feature_view_version_metadata=True)
    theirs = convert_response_to_dict(answer.proto)

    numbers = [sorted(part["metadata"].pop("feature_view_metadata"), key=str) for part in (ours, theirs)]
    assert numbers[0] == numbers[1] != []
    found, expected = vectors(ours), vectors(theirs)
    # With full names Feast drops the features of on-demand views in Python.
    odd = {name for name in found if "per_" in name}
    assert found.keys() - (odd if full else set()) == expected.keys()
    for name in expected:
        assert found[name].keys() == expected[name].keys()
        assert found[name]["values"] == expected[name]["values"]
        times = found[name]["event_timestamps"]
        if profile.name == "embedded":
            # Stock Feast reads no fractions of a second from SQLite.
            times = [time.replace(".120Z", "Z") for time in times]
        assert times == expected[name]["event_timestamps"]
        # Feast calls PRESENT what is not there; where there is a value both say so.
        statuses = zip(found[name]["statuses"], expected[name]["statuses"], strict=True)
        for value, pair in zip(found[name]["values"], statuses, strict=True):
            assert value is None or pair == ("PRESENT", "PRESENT")


def test_names_come_in_the_order_of_the_request(client: TestClient) -> None:
    asked = [
        "user_engagement:tokens_per_message",
        "user_activity:sessions_7d",
        "user_realtime:current_session_tokens",
    ]
    body = {"features": asked, "entities": {"ignored": [1, 2], "user_id": ["u1", "nobody"]}}
    answer = client.post("/get-online-features", json=body).json()
    names = ["user_id", "tokens_per_message", "sessions_7d", "current_session_tokens"]
    assert answer["metadata"] == {"feature_names": names}
    assert [vector["statuses"][1] for vector in answer["results"]] == ["PRESENT", *["NOT_FOUND"] * 3]
    assert isinstance(answer["results"][1]["values"][0], float)


def test_a_request_for_many_entities_is_read_in_parts(client: TestClient) -> None:
    users = [f"u{number % 7}" for number in range(1200)]
    body = {"feature_service": "assistant_v1", "entities": {"user_id": users}}
    few = {"feature_service": "assistant_v1", "entities": {"user_id": users[:7]}}
    answer, piece = (client.post("/get-online-features", json=each).json() for each in (body, few))
    for whole, part in zip(answer["results"], piece["results"], strict=True):
        for column in ("values", "statuses", "event_timestamps"):
            assert whole[column] == (part[column] * 172)[:1200]


@pytest.mark.parametrize(
    ("body", "status", "kind", "words"),
    [
        ({"feature_service": "nope"}, 404, "FeatureServiceNotFoundException", "no feature service nope"),
        ({"features": ["nope:x"]}, 404, "FeatureViewNotFoundException", "no feature view nope"),
        ({"features": ["user_activity:nope"]}, 404, "FeastError", "no feature nope"),
        ({"features": ["nonsense"]}, 422, "FeastError", "not a feature reference"),
        ({}, 422, "FeastError", "give feature_service or features"),
        ({"features": ["user_activity:sessions_7d"], "entities": {}}, 422, "FeastError", "user_id: is missing"),
        ({"features": ["user_activity:sessions_7d"], "entities": {"user_id": []}}, 422, "FeastError", "not be empty"),
    ],
)
def test_a_faulty_read_is_told_in_feasts_form(
    client: TestClient, body: dict[str, Any], status: int, kind: str, words: str
) -> None:
    whole = {"entities": {"user_id": ["u1"]}, **body}
    assert words in told(client.post("/get-online-features", json=whole), status, kind)


@pytest.mark.parametrize("path", ["/get-online-features", "/push", "/write-to-online-store", "/materialize"])
def test_what_is_not_json(client: TestClient, path: str) -> None:
    assert "not valid JSON" in told(client.post(path, content=b"{"), 400)
    assert "documented form" in told(client.post(path, content=b'{"entities": 1, "df": 1, "version": 1}'), 422)


def test_health_is_200_and_empty(client: TestClient) -> None:
    response = client.get("/health")
    assert (response.status_code, response.content) == (200, b"")
