"""Where the data of a view are is part of its definition, and of what exports remember of it."""

from __future__ import annotations

from feast import FileSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

from app.stores.catalog import _source


def test_the_location_is_what_the_definition_says() -> None:
    file = FileSource(name="a", path="data/a.parquet", timestamp_field="ts")
    table = PostgreSQLSource(name="b", table="events", timestamp_field="ts")
    query = PostgreSQLSource(name="c", query="SELECT * FROM events", timestamp_field="ts")
    assert [_source(one).location for one in (file, table, query)] == [
        "data/a.parquet",
        "events",
        "(SELECT * FROM events)",
    ]
