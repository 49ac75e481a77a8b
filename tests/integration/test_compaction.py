"""A server merges the part files that pushes leave behind, while they go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from app.errors import NotServableError
from app.main import create_app
from app.settings import Settings
from app.stores.definitions import apply_definitions
from app.stores.offline import FeastOfflineStore
from app.stores.repo import open_repo
from tests.repos.everything import write_repo
from tests.servers.waiting import wait_until


class WithOldVersions(Mapping[str, Any]):
    """The views, and what the registry may remember beside them: a version of an on-demand view, and one that Feast
    cannot load any more."""

    def __init__(self, views: Mapping[str, Any]) -> None:
        self._views = views

    def __iter__(self) -> Iterator[str]:
        return iter(["pricing@v0", "gone@v1", *self._views])

    def __len__(self) -> int:
        return 2 + len(self._views)

    def __getitem__(self, name: str) -> Any:
        if name == "gone@v1":
            raise NotServableError("gone@v1 cannot be read")
        return object() if name == "pricing@v0" else self._views[name]


def test_old_versions_of_views_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = FeastOfflineStore.use
    monkeypatch.setattr(FeastOfflineStore, "use", lambda store, views: use(store, WithOldVersions(views)))
    test_part_files_of_pushes_are_merged_in_the_background(tmp_path)


def test_part_files_of_pushes_are_merged_in_the_background(tmp_path: Path) -> None:
    settings = Settings(feature_repo=write_repo(tmp_path), compaction_interval=timedelta(milliseconds=50))
    repo = open_repo(settings)
    apply_definitions(repo, settings)
    repo.close()
    parts = tmp_path / "data" / "trips"
    with TestClient(create_app(settings)) as client:
        for number in range(70):
            row = {"driver_id": number, "customer_id": "c", "fare": 1.5, "name": None}
            answer = client.post("/v1/push/trip_events", json={"rows": [row], "to": "offline"})
            assert answer.json()["applied"] == 1, answer.text
        wait_until("the parts to be merged", lambda: len(list(parts.glob("*.parquet"))) < 64)
    found = [number for file in parts.glob("*.parquet") for number in pq.read_table(file)["driver_id"].to_pylist()]
    assert sorted(found) == list(range(70))
    assert list(parts.glob("merged-*.parquet")) != []
