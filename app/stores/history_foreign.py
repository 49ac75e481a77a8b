"""The rows of a view in another offline store of Feast's as a relation of DuckDB, for point-in-time joins.

Only what the store finds for the times of the spine comes here: one row for each of them, and all of those that share
its times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from functools import partial

import duckdb
import pyarrow as pa

from app.domain import ViewSpec
from app.errors import ConfigurationError, NotServableError, StoreUnavailableError
from app.exports.engine import rows_at_once, wait_for
from app.exports.ports import Scope
from app.exports.spine_needs import EVENT_TIMESTAMP
from app.exports.sql import moment, quoted
from app.stores.foreign_offline import ForeignView
from app.stores.history_relation import make_no_rows, make_rows
from app.stores.offline_columns import SourceNames

_ROWS_PER_JOB = 500_000
"""A store is handed the times as a pandas frame, and its answer is an Arrow table: both lie in memory."""
_COLUMNS = 64
"""So many columns the rows have at most of which a whole join takes as many as the engine says."""

Finding = Callable[[], Future[pa.Table]]


@contextmanager
def attach_found(
    engine: duckdb.DuckDBPyConnection, name: str, view: ViewSpec, foreign: ForeignView, scope: Scope
) -> Iterator[None]:
    """See app.exports.ports.OfflineHistory.attach. Raises NotServableError as well, where the store cannot leave out
    what must not count."""
    stored = f"stored_{name}"
    try:
        loaded = _loaded(engine, name, stored, view, foreign, scope)
    except (duckdb.InterruptException, KeyboardInterrupt):
        foreign.stop()
        raise
    if loaded:
        columns = [str(column) for column, *_ in engine.execute(f"DESCRIBE {stored}").fetchall()]
        make_rows(engine, name, view, stored, dataclasses.replace(scope, keys=None), columns)
    else:
        make_no_rows(engine, name, view)
    yield


def _loaded(
    engine: duckdb.DuckDBPyConnection, name: str, stored: str, view: ViewSpec, foreign: ForeignView, scope: Scope
) -> bool:
    """Make the table `stored` of all that the store finds; False where nothing had to be looked for."""
    if scope.asked is None:
        return _load(engine, stored, [partial(foreign.entities, scope.latest)])
    at_once = min(_ROWS_PER_JOB, rows_at_once(engine) * _COLUMNS // max(_COLUMNS, foreign.columns))
    engine.execute(f"CREATE TEMP TABLE asked_{name} AS {_numbered(view, scope.asked, at_once)}")
    if not _load(engine, stored, _findings(engine, name, view, foreign, scope.known_at, None)):
        return False
    if _has_later(engine, stored, view, scope.created_until):
        # What they hide has to be looked for. Not at once, because not every store can.
        cannot = (
            f"The offline store of feature view {view.name} has rows that were created after the export was asked for,"
            " and cannot look behind them"
        )
        try:
            _load(engine, stored, _findings(engine, name, view, foreign, scope.known_at, scope.created_until))
        except (StoreUnavailableError, ConfigurationError) as error:
            raise NotServableError(f"{cannot}: {error.detail}") from error
        if _has_later(engine, stored, view, scope.created_until):
            raise NotServableError(cannot)
    return True


def _numbered(view: ViewSpec, asked: str, at_once: int) -> str:
    """What is asked for, without null keys, which are nobody's, and with the numbers of the job that each row is for.

    Feast's SQL takes the text of all keys and of the time, one after the other, for the identity of a row: keys like
    (1, 23) and (12, 3) are twins, and must not meet in one job.
    """
    keys = [f"k{number}" for number in range(len(view.join_keys))]
    text = "".join(f"{key}::VARCHAR || " for key in keys) + "t::VARCHAR"
    there = "".join(f" AND {key} IS NOT NULL" for key in keys)
    twins = f"SELECT *, row_number() OVER (PARTITION BY {text}) AS twin FROM ({asked}) WHERE TRUE{there}"  # noqa: S608
    return f"SELECT *, (row_number() OVER (PARTITION BY twin) - 1) // {max(1, at_once)} AS part FROM ({twins})"  # noqa: S608


def _findings(
    engine: duckdb.DuckDBPyConnection,
    name: str,
    view: ViewSpec,
    foreign: ForeignView,
    known_at: bool,
    created_until: datetime | None,
) -> Iterator[Finding]:
    """One job of the store for each piece of what is asked for."""
    keys = [f"k{number} AS {quoted(field.name)}" for number, field in enumerate(view.join_keys)]
    shown = ", ".join([f"t AS {quoted(EVENT_TIMESTAMP)}", *keys])
    pieces = engine.execute(f"SELECT DISTINCT twin, part FROM asked_{name} ORDER BY ALL").fetchall()  # noqa: S608
    for twin, part in pieces:
        query = f"SELECT {shown} FROM asked_{name} WHERE twin = {twin} AND part = {part}"  # noqa: S608
        yield partial(foreign.newest, engine.sql(query).to_arrow_table(), known_at, created_until)


def _load(engine: duckdb.DuckDBPyConnection, stored: str, findings: Iterable[Finding]) -> bool:
    """Make the table `stored` of all that is found; False where nothing had to be looked for."""
    made = False
    for finding in findings:
        engine.register("found", wait_for(engine, finding()))
        made_of = f"INSERT INTO {stored} BY NAME" if made else f"CREATE OR REPLACE TEMP TABLE {stored} AS"
        # The row of an entity is found for each of its times.
        engine.execute(f"{made_of} SELECT DISTINCT * FROM found")  # noqa: S608
        engine.unregister("found")
        made = True
    return made


def _has_later(engine: duckdb.DuckDBPyConnection, stored: str, view: ViewSpec, until: datetime | None) -> bool:
    created = SourceNames(view).created
    if created is None or until is None:
        return False
    later = f"SELECT count(*) FROM {stored} WHERE {quoted(created)} > {moment(until)}"  # noqa: S608
    return engine.execute(later).fetchall() != [(0,)]
