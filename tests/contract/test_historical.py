"""Feast's own training join over our Parquet store, where a stock repo names dask's: no spine row lost or doubled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.settings import Settings
from app.stores.definitions import apply_definitions
from app.stores.repo import open_repo
from tests.repos.everything import write_repo

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["file", "dask"])
def test_every_spine_row_comes_back_once(tmp_path: Path, kind: str) -> None:
    """Feast's dask store drops the rows whose features are outside the ttl, and duplicates."""
    settings = Settings(feature_repo=write_repo(tmp_path, offline={"type": kind}))
    repo = open_repo(settings)
    apply_definitions(repo, settings)
    (tmp_path / "data" / "drivers").mkdir()
    columns = {"driver_id": [1, 1, 2], "i64": [1, 2, 3], "ts": [NOON, NOON, NOON - timedelta(days=9)]}
    pq.write_table(pa.table({**columns, "made": columns["ts"]}), tmp_path / "data" / "drivers" / "rows.parquet")
    later = NOON + timedelta(minutes=1)
    spine = pd.DataFrame({"driver_id": [2, 1, 3, 1, 1], "event_timestamp": [later, later, later, later, NOON]})
    found = repo.store.get_historical_features(spine, ["drivers:i64"]).to_df()
    repo.close()
    assert sorted(found["driver_id"]) == sorted(spine["driver_id"])
    assert found.set_index("driver_id")["i64"].dropna().index.tolist() == [1, 1, 1]
