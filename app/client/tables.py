"""pandas and Arrow on the way in: told apart without importing either, and taken apart into columns of Python values.

Whoever passes a DataFrame has imported pandas, so that a look into sys.modules is enough; a client that is never given
one never loads it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

if TYPE_CHECKING:
    import pandas
    import pyarrow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Columns: TypeAlias = "Mapping[str, Iterable[Any]] | pandas.DataFrame | pyarrow.Table"
"""A table by column: what `read_many` takes for entities."""


def is_frame(given: object) -> TypeGuard[pandas.DataFrame]:
    """Whether it is a pandas.DataFrame."""
    module = sys.modules.get("pandas")
    return module is not None and isinstance(given, module.DataFrame)


def is_table(given: object) -> TypeGuard[pyarrow.Table]:
    """Whether it is a pyarrow.Table."""
    module = sys.modules.get("pyarrow")
    return module is not None and isinstance(given, module.Table)


def columns_of(given: Columns) -> dict[str, list[Any]]:
    """Name -> Python values, None for missing ones.

    Of a DataFrame the columns count, not the index. What pandas calls missing (NaN in a column of floats, NaT, NA,
    None) is None; Arrow's nulls are None, but its NaN stays NaN. Raises ValueError for a name that is there twice.
    """
    if is_frame(given):
        return {name: _series(given[name]) for name in _names(list(given.columns))}
    if is_table(given):
        return {name: _array(given.column(name)) for name in _names(given.column_names)}
    mapping = cast("Mapping[str, Iterable[Any]]", given)
    return {name: _column(values) for name, values in mapping.items()}


def _column(values: Any) -> list[Any]:
    pandas, pyarrow = sys.modules.get("pandas"), sys.modules.get("pyarrow")
    if pandas is not None and isinstance(values, pandas.Series | pandas.Index):
        return _series(values.to_series() if isinstance(values, pandas.Index) else values)
    if pyarrow is not None and isinstance(values, pyarrow.Array | pyarrow.ChunkedArray):
        return _array(values)
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(f"a column must be a list of values, not {type(values).__name__}")
    return list(values)


def _series(series: pandas.Series[Any]) -> list[Any]:
    values = series.astype(object).tolist()
    return [None if missing else value for value, missing in zip(values, series.isna().tolist(), strict=True)]


def _array(array: Any) -> list[Any]:
    import pyarrow

    if pyarrow.types.is_timestamp(array.type) and array.type.unit == "ns":
        # Finer than Python's times. What is cut off is cut towards the past, as the server does; a cast would not.
        nanoseconds = array.cast(pyarrow.int64()).to_pylist()
        return [None if time is None else _EPOCH + timedelta(microseconds=time // 1000) for time in nanoseconds]
    values: list[Any] = array.to_pylist()
    if pyarrow.types.is_map(array.type):
        return [None if value is None else dict(value) for value in values]
    return values


def _names(names: list[Any]) -> list[str]:
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"the column name {name!r} must be text, not {type(name).__name__}")
        if names.count(name) > 1:
            raise ValueError(f"the column {name} is there twice")
    return names
