"""Data that stock Feast wrote is readable by Freshet, and data that Freshet wrote is readable by stock Feast."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from app.domain import EntityKey, OnlineRow, PushOutcome
from tests.contract.conftest import OnlineCase, row, trip
from tests.contract.reading import read_rows
from tests.contract.writing import WriteRow

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)


class Stock:
    """Stock Feast's own reads and writes of `trips`."""

    def __init__(self, case: OnlineCase) -> None:
        self._feast: FeatureStore = case.stock()
        self._view = self._feast.get_feature_view("trips")
        self._online: Any = self._feast.provider.online_store

    def write(self, key: EntityKey, event: datetime, fare: float) -> None:
        data = [(self._proto(key), {"fare": ValueProto(double_val=fare), "name": ValueProto()}, event, None)]
        self._online.online_write_batch(self._feast.config, self._view, data, None)

    def write_name(self, driver: int, event: datetime, name: str) -> None:
        """One of the many features of `drivers`, and nothing else of the row."""
        key = EntityKeyProto(join_keys=["driver_id"], entity_values=[ValueProto(int64_val=driver)])
        data = [(key, {"name": ValueProto(string_val=name)}, event, None)]
        self._online.online_write_batch(self._feast.config, self._feast.get_feature_view("drivers"), data, None)

    def read(self, key: EntityKey) -> tuple[datetime, float]:
        ((event, values),) = self._online.online_read(self._feast.config, self._view, [self._proto(key)], ["fare"])
        return event, values["fare"].double_val

    def close(self) -> None:
        client = getattr(self._online, "_client", None)
        connection = getattr(self._online, "_conn", None)
        for open_one in (client, connection, self._feast.registry.write_engine, self._feast.registry.read_engine):
            if open_one is not None:
                (getattr(open_one, "dispose", None) or open_one.close)()

    @staticmethod
    def _proto(key: EntityKey) -> EntityKeyProto:
        driver, customer = key.values
        values = [ValueProto(int64_val=driver), ValueProto(string_val=customer)]
        return EntityKeyProto(join_keys=list(key.join_keys), entity_values=values)


@pytest.fixture
def stock(ours: OnlineCase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stock]:
    # Stock Feast takes a relative registry path from where it runs.
    monkeypatch.chdir(ours.folder)
    feast = Stock(ours)
    yield feast
    feast.close()


def found(case: OnlineCase, key: EntityKey) -> tuple[datetime, Any]:
    (online_row,) = case.read(key)
    assert online_row is not None
    return online_row.event_timestamp, online_row.values["fare"]


def test_stock_feast_reads_what_freshet_wrote(ours: OnlineCase, stock: Stock) -> None:
    key = trip()
    ours.write(row(key, NOON, 1.5, created=NOON))
    assert stock.read(key) == (NOON, 1.5)


def test_freshet_reads_what_stock_feast_wrote(ours: OnlineCase, stock: Stock) -> None:
    key = trip()
    stock.write(key, NOON, 2.5)
    assert found(ours, key) == (NOON, 2.5)


def test_a_few_of_many_features(ours: OnlineCase, stock: Stock) -> None:
    """What is read of a row does not depend on how much of it is asked for."""
    view = ours.views["drivers"]
    whole, partial, nobody = (EntityKey(("driver_id",), (number,)) for number in (90_001, 90_002, 90_003))
    precise = NOON + MILLISECOND
    values = {"name": "whole", "i64": 2**60}
    ours.write(WriteRow(whole, {f.name: values.get(f.name) for f in view.features}, precise, None), view="drivers")
    stock.write_name(90_002, NOON, "partial")
    for feature in ("name", "i64"):
        first, second, third = read_rows(ours.store, view, [whole, partial, nobody], [feature])
        assert first == OnlineRow(precise, {feature: values[feature]})
        assert second == OnlineRow(NOON, {feature: "partial" if feature == "name" else None})
        assert third is None


def test_our_clock_does_not_count_once_stock_feast_has_written(ours: OnlineCase, stock: Stock) -> None:
    key = trip()
    ours.write(row(key, NOON + 5 * MILLISECOND, 1.0, created=NOON + SECOND))
    stock.write(key, NOON + SECOND, 2.0)
    assert found(ours, key) == (NOON + SECOND, 2.0)
    # Older than what stock Feast wrote, though newer than what our clock field still says.
    assert ours.write(row(key, NOON + 10 * MILLISECOND, 3.0)) == [PushOutcome.LATE]
    # The same event time, and the created timestamp of our last row must not stand in the way.
    assert ours.write(row(key, NOON + SECOND, 4.0, created=NOON)) == [PushOutcome.APPLIED]
    assert found(ours, key) == (NOON + SECOND, 4.0)
    assert stock.read(key) == (NOON + SECOND, 4.0)
