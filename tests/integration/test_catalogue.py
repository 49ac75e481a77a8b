"""The catalogue, liveness, readiness, docs: what is known and whether it may be asked."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi.testclient import TestClient


def test_feature_views(client: TestClient) -> None:
    views = {view["name"]: view for view in client.get("/v1/feature-views").json()["feature_views"]}
    assert list(views) == ["user_activity", "user_engagement", "user_realtime"]
    activity = views["user_activity"]
    assert activity["join_keys"] == [{"name": "user_id", "dtype": "STRING", "description": "Join key."}]
    assert [(feature["name"], feature["dtype"]) for feature in activity["features"]] == [
        ("sessions_7d", "INT64"),
        ("avg_session_duration_sec", "FLOAT"),
        ("messages_sent_7d", "INT64"),
        ("tools_used_7d", "INT64"),
        ("preferred_model", "STRING"),
        ("total_tokens_7d", "INT64"),
    ]
    assert (activity["ttl_seconds"], activity["version"], activity["freshness_sla"]) == (7 * 86400, "2", "daily")
    assert activity["feature_services"] == ["assistant_v1"]
    realtime = views["user_realtime"]
    assert (realtime["push_source"], realtime["ttl_seconds"]) == ("user_realtime_events", 3600)
    assert (realtime["version"], realtime["freshness_sla"]) == ("1", "realtime")
    assert views["user_engagement"]["kind"] == "on_demand"
    assert "user_activity:messages_sent_7d" in views["user_engagement"]["inputs"]
    for view in views.values():
        assert client.get(f"/v1/feature-views/{view['name']}").json() == view


def test_feature_services(client: TestClient) -> None:
    (service,) = client.get("/v1/feature-services").json()["feature_services"]
    assert service["name"] == "assistant_v1"
    assert service["servable"] is True
    assert service["refusal"] is None
    assert service["join_keys"] == [{"name": "user_id", "dtype": "STRING", "description": ""}]
    assert len(service["features"]) == 11
    assert client.get("/v1/feature-services/assistant_v1").json() == service


def test_entities(client: TestClient) -> None:
    (entity,) = client.get("/v1/entities").json()["entities"]
    assert (entity["name"], entity["join_key"], entity["dtype"]) == ("user_id", "user_id", "STRING")
    assert entity["feature_views"] == ["user_activity", "user_realtime"]
    assert entity["owner"]
    assert client.get("/v1/entities/user_id").json() == entity


def test_push_sources(client: TestClient) -> None:
    told = datetime.now(UTC)
    body = {"rows": [], "watermark": told.isoformat()}
    assert client.post("/v1/push/user_realtime_events", json=body).status_code == 200
    (source,) = client.get("/v1/push-sources").json()["push_sources"]
    assert (source["name"], source["feature_views"]) == ("user_realtime_events", ["user_realtime"])
    assert datetime.fromisoformat(source["watermark"]) == told
    assert told <= datetime.fromisoformat(source["watermark_updated_at"]) <= datetime.now(UTC)
    assert client.get("/v1/push-sources/user_realtime_events").json() == source
    assert client.get("/v1/push-sources/user_activity_source").status_code == 404


def test_health(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {"plans": "ok", "online_store": "ok", "metadata_database": "ok"}


def test_docs_describe_every_route_and_its_problems(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/v1/online-features", "/v1/online-features/{feature_service}", "/v1/push/{push_source}"):
        (operation,) = paths[path].values()
        assert operation["summary"]
        assert "application/problem+json" in operation["responses"]["422"]["content"]
        assert "503" in operation["responses"]
