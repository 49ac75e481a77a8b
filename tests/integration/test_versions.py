"""`view@vN`: every version that the registry remembers, written by stock Feast, read by both under the same names."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from fastapi.testclient import TestClient
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.on_demand_feature_view import OnDemandFeatureView, on_demand_feature_view
from feast.types import Float64, Int64, String

from app.main import create_app
from app.settings import Settings
from tests.servers import Redis

HOUR = timedelta(hours=1)

_numbers = itertools.count(1)

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)


def clicks(folder: Path, entities: list[Entity], ttl: timedelta, **features: Any) -> FeatureView:
    """The view `clicks` in one of its versions."""
    keys = {"driver_id": Int64, "customer_id": String}
    schema = {**{entity.join_key: keys[entity.join_key] for entity in entities}, **features}
    batch = FileSource(name="clicks_source", path=str(folder / "clicks.parquet"), timestamp_field="ts")
    return FeatureView(
        name="clicks",
        entities=entities,
        ttl=ttl,
        source=PushSource(name="click_events", batch_source=batch),
        schema=[Field(name=name, dtype=dtype) for name, dtype in schema.items()],
    )


def base(folder: Path) -> FeatureView:
    source = FileSource(name="base_source", path=str(folder / "base.parquet"), timestamp_field="ts")
    schema = [Field(name="driver_id", dtype=Int64), Field(name="x", dtype=Float64)]
    return FeatureView(name="base", entities=[driver], ttl=24 * HOUR, source=source, schema=schema)


def scaled(source: FeatureView, version: int) -> OnDemandFeatureView:
    """The on-demand view `scaled`: twice x, then, with another name for it, three times."""
    if version == 0:

        def scaled(inputs: dict[str, Any]) -> dict[str, Any]:
            return {"twice": [2 * x for x in inputs["x"]]}
    else:

        def scaled(inputs: dict[str, Any]) -> dict[str, Any]:
            return {"thrice": [3 * x for x in inputs["x"]]}

    output = Field(name="thrice" if version else "twice", dtype=Float64)
    made: OnDemandFeatureView = on_demand_feature_view(sources=[source], schema=[output], mode="python")(scaled)
    return made


@dataclass
class Lab:
    """A repo that stock Feast has changed twice, writing rows under each of the three versions of `clicks`."""

    folder: Path
    stock: FeatureStore
    _kept: list[Any] = field(default_factory=list)

    def apply(self, *objects: object) -> None:
        # Stock Feast takes what it has cached for the registry in memory that lies at the same address; so that none
        # ever does, none is freed.
        self._kept.append(self.stock.registry.cached_registry_proto)
        with quiet():
            self.stock.apply([driver, customer, *objects])

    def write(self, view: str, age: timedelta, **values: Any) -> None:
        with quiet():
            rows = pd.DataFrame({name: [value] for name, value in values.items()} | {"ts": [datetime.now(UTC) - age]})
            self.stock.write_to_online_store(view, rows, allow_registry_cache=False)

    def read_by_stock(self, *references: str, full: bool = True) -> dict[str, Any]:
        """Stock Feast's answer for the entity of these tests, its names as we write them."""
        with quiet():
            entity = {"driver_id": 7, "customer_id": "c"}
            found = self.stock.get_online_features(list(references), [entity], full_feature_names=full).to_dict()
        return {name.replace("__", ":"): values[0] for name, values in found.items() if name not in entity}

    @contextmanager
    def served(self) -> Iterator[TestClient]:
        settings = Settings(feature_repo=self.folder, online_timeout=5.0)
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            yield client


@contextmanager
def quiet() -> Iterator[None]:
    """Stock Feast warns of its own ways."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def opened(folder: Path, online: dict[str, str], registry: str, versioning: bool) -> Iterator[Lab]:
    """A lab with the whole history."""
    path = f"sqlite:///{folder}/registry.db" if registry == "sql" else f"{folder}/registry.db"
    config = {
        # That cache is one for the whole process.
        "project": f"lab{next(_numbers)}",
        "provider": "local",
        "registry": {
            "registry_type": registry,
            "path": path,
            "enable_online_feature_view_versioning": versioning,
        },
        "online_store": online,
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with quiet():
        lab = Lab(folder, FeatureStore(repo_path=str(folder)))
    lab.apply(base(folder), scaled(base(folder), 0), clicks(folder, [driver], HOUR, a=Int64, gone=String))
    lab.write("base", HOUR, driver_id=7, x=1.5)
    lab.write("clicks", 1.5 * HOUR, driver_id=7, a=10, gone="g")
    lab.apply(base(folder), scaled(base(folder), 1), clicks(folder, [driver], 2 * HOUR, a=Int64, b=Float64))
    lab.write("clicks", 1.25 * HOUR, driver_id=7, a=11, b=0.5)
    lab.apply(clicks(folder, [driver, customer], timedelta(0), a=Float64, b=Float64))
    lab.write("clicks", HOUR, driver_id=7, customer_id="c", a=12.5, b=2.5)
    if versioning:
        pinned = ["clicks@v1:b", "clicks", "scaled@v0", "clicks@v0:gone"]
        lab.apply(FeatureService(name="pinned", features=pinned))
    yield lab
    store: Any = lab.stock.provider.online_store
    closing_all = [getattr(store, "_client", None), getattr(store, "_conn", None)]
    for open_one in [one for one in closing_all if one is not None]:
        with closing(open_one):
            pass
    for engine in ("write_engine", "read_engine"):
        if hasattr(lab.stock.registry, engine):
            getattr(lab.stock.registry, engine).dispose()


@pytest.fixture(scope="module", params=["sqlite, sql registry", "redis, sql registry", "sqlite, file registry"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: Redis) -> Iterator[Lab]:
    """With online versioning: each version has a place of its own."""
    folder = tmp_path_factory.mktemp("lab")
    redis = {"type": "redis", "connection_string": redis_server.connection_string}
    online = redis if "redis" in request.param else {"type": "sqlite", "path": f"{folder}/online.db"}
    with opened(folder, online, "file" if "file" in request.param else "sql", versioning=True) as lab:
        yield lab
    redis_server.flush()


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[TestClient]:
    with lab.served() as client:
        yield client


def read(client: TestClient, *references: str, status: int = 200, **more: Any) -> dict[str, Any]:
    keys = {"driver_id": [7]} | ({"customer_id": ["c"]} if more.pop("composite", False) else {})
    body = {"features": list(references), "entities": keys, **more}
    response = client.post("/v1/online-features", json=body)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_every_version_is_read_from_its_own_place(lab: Lab, client: TestClient) -> None:
    references = ["clicks@v1:b", "clicks@v0:gone", "clicks:a", "clicks@v0:a", "clicks@v1:a", "clicks@v2:a"]
    answer = read(client, *references, composite=True, on_stale="serve")
    assert answer["features"] == references
    assert dict(zip(references, answer["values"][0], strict=True)) == lab.read_by_stock(*references)
    assert answer["values"] == [[0.5, "g", 12.5, 10, 11, 12.5]]
    assert list(answer["event_timestamps"]) == ["clicks@v1", "clicks@v0", "clicks", "clicks@v2"]
    first, second = answer["event_timestamps"]["clicks@v0"], answer["event_timestamps"]["clicks@v1"]
    assert first < second < answer["event_timestamps"]["clicks"]


def test_a_version_has_its_own_ttl_and_join_keys(client: TestClient) -> None:
    answer = read(client, "clicks@v0:a", "clicks@v1:a")
    assert answer["statuses"] == [["OUTSIDE_MAX_AGE", "PRESENT"]]
    assert answer["values"] == [[None, 11]]
    refused = read(client, "clicks:a", status=422)
    assert [error["field"] for error in refused["errors"]] == ["entities.customer_id"]


def test_references_are_read_as_feast_reads_them(lab: Lab, client: TestClient) -> None:
    answer = read(client, "clicks@latest:a", "clicks@V1:b", composite=True)
    assert answer["features"] == ["clicks:a", "clicks@v1:b"]
    assert lab.read_by_stock("clicks@latest:a", "clicks@V1:b") == {"clicks:a": 12.5, "clicks@v1:b": 0.5}
    assert answer["values"] == [[12.5, 0.5]]


def test_a_version_of_an_on_demand_view_runs_its_own_function(lab: Lab, client: TestClient) -> None:
    answer = read(client, "scaled@v0:twice", "scaled:thrice", "scaled@v1:thrice")
    assert answer["features"] == ["scaled@v0:twice", "scaled:thrice", "scaled@v1:thrice"]
    assert answer["values"] == [[3.0, 4.5, 4.5]]
    # With full names stock Feast drops what python functions compute.
    assert lab.read_by_stock("scaled@v0:twice", full=False) == {"twice": 3.0}
    assert "scaled@v0 has no feature thrice" in read(client, "scaled@v0:thrice", status=404)["detail"]


def test_a_feature_service_pins_versions(client: TestClient) -> None:
    query = "driver_id=7&customer_id=c&full_feature_names=true"
    answer = client.get(f"/v1/online-features/pinned?{query}").json()
    assert answer["features"] == {
        "clicks@v1__b": 0.5,
        "clicks__a": 12.5,
        "clicks__b": 2.5,
        "scaled@v0__twice": 3.0,
        "clicks@v0__gone": None,
    }
    assert answer["statuses"]["clicks@v0__gone"] == "OUTSIDE_MAX_AGE"
    shown = client.get("/v1/feature-services/pinned").json()
    assert shown["servable"] is True
    assert shown["features"] == ["clicks@v1:b", "clicks:a", "clicks:b", "scaled@v0:twice", "clicks@v0:gone"]


def test_unknown_versions_and_features_are_named(client: TestClient) -> None:
    unknown = read(client, "clicks@v7:a", status=404)["detail"]
    assert unknown == "Feature view clicks has no version v7. Known: clicks@v0, clicks@v1, clicks@v2"
    assert "Feature view clicks@v0 has no feature b" in read(client, "clicks@v0:b", status=404)["detail"]


def test_a_push_reaches_the_version_in_force_alone(lab: Lab, client: TestClient) -> None:
    row = {"driver_id": 8, "customer_id": "c", "a": 1.0, "b": 2.0}
    pushed = client.post("/v1/push/click_events", json={"rows": [row], "to": "online"})
    assert pushed.json()["applied"] == 1, pushed.text
    body = {
        "features": ["clicks:a", "clicks@v2:a", "clicks@v1:a", "clicks@v0:a"],
        "entities": {"driver_id": [8], "customer_id": ["c"]},
    }
    assert client.post("/v1/online-features", json=body).json()["values"] == [[1.0, 1.0, None, None]]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Lab]:
    """A lab of one test, which may change it."""
    with opened(tmp_path, {"type": "sqlite", "path": f"{tmp_path}/online.db"}, "sql", versioning=True) as lab:
        yield lab


def test_a_number_that_feast_has_lost_is_not_taken_for_v0(own: Lab) -> None:
    """Feast forgets the number of a view that is applied with another ttl, and from then on reads v0's rows for it."""
    own.apply(clicks(own.folder, [driver, customer], 9 * HOUR, a=Float64, b=Float64))
    references = ["clicks@v0:a", "clicks@v1:a", "clicks@v2:a"]
    with own.served() as client:
        answer = read(client, *references, composite=True, on_stale="serve")
        assert dict(zip(references, answer["values"][0], strict=True)) == own.read_by_stock(*references)
        assert answer["values"] == [[10, 11, 12.5]]
        assert "clicks@v0 has no feature b" in read(client, "clicks@v0:b", status=404)["detail"]


def test_a_disabled_view_is_disabled_in_every_version(own: Lab) -> None:
    # disable_feature_view alone changes nothing that the SQL registry would store.
    off = clicks(own.folder, [driver, customer], timedelta(0), a=Float64, b=Float64)
    off.enabled, off.description = False, "off"
    own.apply(off)
    with own.served() as client:
        for reference in ("clicks", "clicks@v1", "clicks@v2"):
            refused = read(client, f"{reference}:a", status=422)["detail"]
            assert refused == f"Feature view {reference} cannot be served: it is disabled in the registry"


def test_a_version_that_cannot_be_loaded_is_refused_by_name(own: Lab) -> None:
    with own.stock.registry.write_engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE feature_view_version_history SET feature_view_proto = x'ff' WHERE version_number = 1"
        )
    with own.served() as client:
        refused = read(client, "clicks@v1:a", status=422)
        assert refused["detail"] == "clicks@v1 cannot be read: Feast cannot load it (DecodeError)"
        assert "clicks@v1 cannot be read" in client.get("/v1/feature-services/pinned").json()["refusal"]
        assert read(client, "clicks@v0:a", on_stale="serve")["values"] == [[10]]


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def unversioned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: Redis
) -> Iterator[Lab]:
    """Without online versioning: one place for all versions."""
    folder = tmp_path_factory.mktemp("unversioned")
    redis = {"type": "redis", "connection_string": redis_server.connection_string}
    online = redis if request.param == "redis" else {"type": "sqlite", "path": f"{folder}/online.db"}
    with opened(folder, online, "sql", versioning=False) as lab:
        yield lab
    redis_server.flush()


def test_without_versioning_only_the_version_in_force_is_read(unversioned: Lab) -> None:
    with unversioned.served() as client:
        # Stock Feast refuses this one, too; there is nothing wrong with it as long as v2 is what is stored.
        answer = read(client, "clicks@v2:a", "clicks:a", composite=True)
        assert (answer["features"], answer["values"]) == (["clicks@v2:a", "clicks:a"], [[12.5, 12.5]])
        for reference in ("clicks@v1:a", "clicks@v0:gone", "scaled@v0:twice"):
            refused = read(client, reference, status=422)
            assert refused["type"].endswith("/not-servable")
            assert f"{reference.partition(':')[0]} cannot be read" in refused["detail"]
            assert "enable_online_feature_view_versioning" in refused["detail"]
        assert refused["detail"].endswith("; only scaled@v1 can be read")
        with pytest.raises(ValueError, match="online versioning is disabled"):
            unversioned.read_by_stock("clicks@v1:a")


def test_without_versioning_a_lost_number_is_not_taken_for_v0(tmp_path: Path) -> None:
    with opened(tmp_path, {"type": "sqlite", "path": f"{tmp_path}/online.db"}, "sql", versioning=False) as own:
        own.apply(clicks(own.folder, [driver, customer], 9 * HOUR, a=Float64, b=Float64))
        with own.served() as client:
            assert read(client, "clicks:a", composite=True)["values"] == [[12.5]]
            for reference in ("clicks@v0:a", "clicks@v2:a"):
                assert "cannot be read" in read(client, reference, status=422)["detail"]


def test_a_store_that_keeps_one_version_is_not_asked_for_another(own: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.stores.online_sqlite.SqliteOnlineStore._is_versioned_read_supported", lambda self: False)
    with own.served() as client:
        assert "SqliteOnlineStore keeps one version" in read(client, "clicks@v1:a", status=422)["detail"]
        assert read(client, "clicks@v2:a", composite=True)["values"] == [[12.5]]
