"""What Feast knows and Freshet does not serve: listed, with the reason, and refused by name before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent

import pytest
from fastapi.testclient import TestClient
from feast import FeatureService, Field
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.substrait_transformation import SubstraitTransformation
from feast.types import Float64

from app.commands.up import set_up
from app.main import create_app
from app.settings import Settings
from app.stores.repo import open_repo
from tests.repos.everything import write_repo

DEFINITIONS = dedent(
    """
    from datetime import timedelta

    from feast import Aggregation, Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
    from feast.labeling.label_view import LabelView
    from feast.on_demand_feature_view import OnDemandFeatureView, on_demand_feature_view
    from feast.types import Float64, Int64, String

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    keyed = [Field(name="driver_id", dtype=Int64)]

    def view(name, **options):
        source = FileSource(name=f"{name}_source", path=f"data/{name}", timestamp_field="ts")
        schema = [*keyed, Field(name="x", dtype=Float64)]
        return FeatureView(name=name, entities=[driver], ttl=timedelta(0), source=source, schema=schema, **options)

    stored = view("stored")
    offline_only = view("offline_only", online=False)
    disabled = view("disabled", enabled=False)
    label_source = PushSource(
        name="label_events", batch_source=FileSource(name="labels_source", path="data/labels", timestamp_field="ts"),
    )
    labels = LabelView(
        name="labels", entities=[driver], source=label_source, owner="labs",
        schema=[*keyed, Field(name="good", dtype=String), Field(name="labeler", dtype=String)],
    )
    output = [Field(name="y", dtype=Float64)]

    @on_demand_feature_view(
        sources=[stored], schema=[*keyed, *output], mode="python", write_to_online_store=True, entities=[driver],
    )
    def written(inputs):
        return {"y": inputs["x"]}

    summed = OnDemandFeatureView(
        name="summed", sources=[stored], schema=[Field(name="sum_x", dtype=Float64)], entities=[driver],
        aggregations=[Aggregation(column="x", function="sum")],
    )

    @on_demand_feature_view(
        sources=[stored.with_join_key_map({"driver_id": "boss_id"})], schema=output, mode="python",
    )
    def renamed(inputs):
        return {"y": inputs["x"]}

    @on_demand_feature_view(sources=[offline_only], schema=output, mode="python")
    def over_offline(inputs):
        return {"y": inputs["x"]}

    precomputed = FeatureService(name="precomputed", features=[stored], precompute_online=True)
    """
)
REASONS = {
    "offline_only": "it is not kept online (online=False)",
    "disabled": "it is disabled in the registry",
    "labels": "it is a LabelView, a kind of view that is not supported",
    "written": "it writes its result to the online store (write_to_online_store), which is not supported yet",
    "summed": "it aggregates instead of transforming, which is not supported",
    "renamed": "it reads a source under renamed join keys, which is not supported",
    "planned": "its mode substrait is not supported",
}
FEATURES = {"offline_only": "x", "disabled": "x", "labels": "good", "summed": "sum_x"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = write_repo(tmp_path_factory.mktemp("refusals"))
    services = [
        f'FeatureService(name="of_{name}", features=[{name}])'
        for name in [*REASONS, "over_offline"]
        if name != "planned"
    ]
    named = "\n".join(f"of_{number} = {service}" for number, service in enumerate(services))
    (folder / "definitions.py").write_text(DEFINITIONS + named, encoding="utf-8")
    settings = Settings(feature_repo=folder)
    repo = open_repo(settings)
    set_up(settings, repo)
    registry = repo.store.registry
    # Applying it would run its plan, for which Feast needs another package; the registry takes it as it is.
    planned = OnDemandFeatureView(
        name="planned",
        sources=[registry.get_feature_view("stored", repo.project)],
        schema=[Field(name="y", dtype=Float64)],
        mode="substrait",
        feature_transformation=SubstraitTransformation(substrait_plan=b"", udf=dict),
    )
    registry.apply_feature_view(planned, repo.project)
    registry.apply_feature_service(FeatureService(name="of_planned", features=[planned]), repo.project)
    repo.close()
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("view", [*REASONS])
def test_a_view_is_listed_with_the_reason_and_refused_with_it(client: TestClient, view: str) -> None:
    shown = client.get(f"/v1/feature-views/{view}").json()
    assert (shown["name"], shown["refusal"]) == (view, REASONS[view])
    assert shown in client.get("/v1/feature-views").json()["feature_views"]
    body = {"features": [f"{view}:{FEATURES.get(view, 'y')}"], "entities": {"driver_id": [1]}}
    service = client.get(f"/v1/online-features/of_{view}?driver_id=1")
    for refused in (client.post("/v1/online-features", json=body), service):
        assert refused.status_code == 422, refused.text
        assert refused.json()["type"].endswith("/not-servable")
        assert refused.json()["detail"].endswith(f"eature view {view} cannot be served: {REASONS[view]}")
    of_view = client.get(f"/v1/feature-services/of_{view}").json()
    assert (of_view["servable"], of_view["refusal"]) == (False, service.json()["detail"])


def test_a_label_view_is_shown_by_its_class(client: TestClient) -> None:
    shown = client.get("/v1/feature-views/labels").json()
    assert (shown["kind"], shown["owner"], shown["feature_services"]) == ("LabelView", "labs", ["of_labels"])
    assert {field["name"] for field in shown["features"]} == {"good", "labeler"}
    refused = client.post("/v1/push/label_events", json={"rows": [{"driver_id": 1, "good": "yes", "labeler": "me"}]})
    assert (refused.status_code, "No feature view reads" in refused.json()["detail"]) == (422, True)


def test_an_on_demand_view_over_one_that_cannot_be_read(client: TestClient) -> None:
    assert client.get("/v1/feature-views/over_offline").json()["refusal"] is None
    refused = client.get("/v1/online-features/of_over_offline?driver_id=1")
    assert (refused.status_code, "offline_only cannot be served" in refused.json()["detail"]) == (422, True)


def test_a_precomputed_service(client: TestClient) -> None:
    refused = client.get("/v1/online-features/precomputed?driver_id=1")
    assert (refused.status_code, "precompute_online" in refused.json()["detail"]) == (422, True)
    assert client.get("/v1/feature-services/precomputed").json()["servable"] is False


def test_what_can_be_served_is(client: TestClient) -> None:
    body = {"features": ["stored:x"], "entities": {"driver_id": [1]}}
    assert client.post("/v1/online-features", json=body).json()["statuses"] == [["NOT_FOUND"]]
    unknown = client.post("/v1/online-features", json={**body, "features": ["stored:z"]})
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "Feature view stored has no feature z. Known: x")
