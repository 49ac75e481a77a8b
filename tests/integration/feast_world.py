"""A served repo, and Feast's SDK beside it: as a client of the server, and as a reader of the same store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from feast import FeatureStore

from app.commands.up import set_up
from app.settings import Settings
from app.stores.repo import open_repo
from tests.integration import feast_clients
from tests.integration.server_process import FreshetServer, serving
from tests.repos.everything import write_repo

NOW = datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class World:
    """One repo, served; `sdk` reaches its online store through the server, `stock` reads it itself."""

    server: FreshetServer
    sdk: FeatureStore
    stock: FeatureStore

    def requests(self, route: str, status: int) -> float:
        """How many requests the server has answered so."""
        line = f'freshet_http_request_duration_seconds_count{{method="POST",route="{route}",status="{status}"}}'
        found = [row for row in self.server.get("/metrics").text.splitlines() if row.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@contextmanager
def opened(folder: Path, online: dict[str, Any]) -> Iterator[World]:
    """The repo with every type over this online store, applied and served."""
    repo = write_repo(folder / "repo", online=online)
    settings = Settings(feature_repo=repo)
    feast_repo = open_repo(settings)
    set_up(settings, feast_repo)
    feast_repo.close()
    registry = f"sqlite:///{repo}/data/registry.db"
    environment = {"FRESHET_FEATURE_REPO": str(repo), "FRESHET_ONLINE_TIMEOUT": "5"}
    with (
        serving("serve", environment=environment, folder=folder) as server,
        feast_clients.remote(server.url, "lab", registry, folder) as sdk,
        feast_clients.direct(online, "lab", registry, folder) as stock,
    ):
        yield World(server, sdk, stock)


def frame(*rows: dict[str, Any], moment: datetime = NOW) -> pd.DataFrame:
    """Rows for the client, all of that event and created timestamp."""
    columns = {name: pd.Series([row[name] for row in rows], dtype="object") for name in rows[0]}
    return pd.DataFrame({**columns, "ts": [moment] * len(rows), "made": [moment] * len(rows)})


def trip(driver: int, customer: str, fare: float | None, name: str | None = "a") -> dict[str, Any]:
    """A row of `trips`."""
    return {"driver_id": driver, "customer_id": customer, "fare": fare, "name": name}
