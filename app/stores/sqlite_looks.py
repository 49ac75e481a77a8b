"""Looks into Feast's SQLite tables for freshness: samples of views, and marks of writes.

By connections that cannot write, each for one look alone: they come seldom.
"""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from feast import FeatureView, RepoConfig

from app.domain import ViewSpec
from app.errors import NotServableError
from app.freshness.ports import ViewSample
from app.stores.key_readers import KeyReader
from app.stores.marks import Mark
from app.stores.sqlite_clock import clock_of
from app.stores.sqlite_marks import read_mark
from app.stores.sqlite_samples import sample_table
from app.stores.sqlite_tables import quoted, sqlite_errors, table_name

READ_PATIENCE = 0.1
"""Seconds that a reader waits for a locked file."""


def sample_views(
    path: str, config: RepoConfig, views: Sequence[tuple[ViewSpec, FeatureView]], entities: int
) -> dict[str, ViewSample]:
    """See app.freshness.ports.OnlineSampler, of the file at `path`. A view without a table is left out."""
    found: dict[str, ViewSample] = {}
    version = config.entity_key_serialization_version
    with _looking(path) as connection:
        for view, table in views:
            with _if_there():
                reader = KeyReader(view.join_keys, version)
                name = quoted(table_name(config, table))
                found[view.name] = sample_table(connection, name, clock_of(table), reader, entities)
    return found


def read_marks(path: str, config: RepoConfig, tables: Sequence[FeatureView]) -> list[Mark | None]:
    """What writers have left for each of these views. Raises StoreUnavailableError."""
    found: list[Mark | None] = []
    with _looking(path) as connection:
        for table in tables:
            found.append(None)
            with _if_there():
                found[-1] = read_mark(connection, quoted(table_name(config, table)))
    return found


@contextlib.contextmanager
def _looking(path: str) -> Iterator[sqlite3.Connection]:
    url = f"file:{urllib.request.pathname2url(str(Path(path).absolute()))}?mode=ro"
    with sqlite_errors(), contextlib.closing(sqlite3.connect(url, READ_PATIENCE, uri=True)) as connection:
        yield connection


@contextlib.contextmanager
def _if_there() -> Iterator[None]:
    """Passes over a view whose table has not been made, or whose keys Feast cannot serialize: it has no rows."""
    try:
        yield
    except NotServableError:
        return
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
