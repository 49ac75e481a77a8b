"""Names and errors of Feast's SQLite tables."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import compute_table_id

from app.errors import StoreUnavailableError


def table_name(config: RepoConfig, table: FeatureView) -> str:
    """The table of a view, by Feast's rule for versions."""
    return compute_table_id(config.project, table, config.registry.enable_online_feature_view_versioning)


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def sqlite_errors() -> Iterator[None]:
    """Errors of SQLite as StoreUnavailableError, with what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            raise StoreUnavailableError("The online store has no table for this view; run `freshet apply`") from error
        raise StoreUnavailableError(f"The SQLite online store cannot be used: {error}") from error
