"""Rows of the bundled push source: pushed, read online, and found again offline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.settings import Settings
from app.stores.catalog import RegistryReader
from app.stores.offline import FeastOfflineStore
from app.stores.offline_sources import is_parquet, reading
from app.stores.offline_tables import table_name
from app.stores.repo import open_repo
from tests.integration.profiles import Profile

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def event(user: str, moment: datetime | None, messages: Any = 1, **changes: Any) -> dict[str, Any]:
    """A row of the bundled push source; without a moment it has no timestamp."""
    row = {
        "user_id": user,
        "current_session_messages": messages,
        "current_session_tokens": 10,
        "last_active_minutes_ago": 0.0,
        **changes,
    }
    return row if moment is None else {**row, "event_timestamp": moment.isoformat()}


def push(client: TestClient, *rows: dict[str, Any], to: str = "online_and_offline") -> dict[str, Any]:
    """The answer to a push of these rows, which must be a 200."""
    response = client.post("/v1/push/user_realtime_events", json={"rows": list(rows), "to": to})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def served(client: TestClient, user: str) -> Any:
    """What is online of a user: the messages of the current session."""
    body = client.get(f"/v1/online-features/assistant_v1?user_id={user}").json()
    return body["features"]["current_session_messages"]


def offline_rows(profile: Profile, user: str) -> list[dict[str, Any]]:
    """The newest offline row of a user, read by the store's own reader."""
    repo = open_repo(profile.settings)
    snapshot = RegistryReader(repo).read()
    store = FeastOfflineStore(repo)
    store.use(snapshot.feast_views)
    view = snapshot.catalog.views["user_realtime"]
    table = store.newest(view, BEGINNING, datetime.now(UTC) + timedelta(days=1))
    repo.close()
    return [row for row in table.to_pylist() if row["user_id"] == user]


@contextmanager
def metadata(settings: Settings) -> Iterator[sa.Connection]:
    """A connection to the metadata database, committed and closed at the end."""
    with sa.create_engine(settings.metadata_url, poolclass=sa.NullPool).begin() as connection:
        yield connection


def offline_count(settings: Settings, view: str, column: str, value: str) -> int:
    """How many offline rows of a view have this text in a column, superseded ones included."""
    repo = open_repo(settings)
    config, source = repo.store.config, repo.store.get_feature_view(view).batch_source
    repo.close()
    if not is_parquet(source):
        with metadata(settings) as database:
            found = sa.text(f"SELECT count(*) FROM {table_name(source)} WHERE {column} = :value")
            return int(database.execute(found, {"value": value}).scalar_one())
    with reading(config, source) as files:
        return sum(pq.read_table(file, columns=[column])[column].to_pylist().count(value) for file in files)
