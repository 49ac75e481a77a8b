"""What is measured: how many rows of a spine, over which offline store, by whom."""

from __future__ import annotations

from dataclasses import dataclass

SERVING = "export-serving"
"""The name of the reads beside an export where cases are chosen."""
LABELS = {"freshet": "freshet", "feast": "stock Feast", "bare": "bare DuckDB ASOF"}


@dataclass(frozen=True)
class ExportCase:
    """One kind of export."""

    name: str
    title: str
    store: str
    large: bool
    """Of the large spine, instead of the usual one."""
    contestants: tuple[str, ...]
    once: tuple[str, ...] = ()
    """Who is measured in the first round alone."""


EXPORT_CASES = {
    case.name: case
    for case in (
        ExportCase("export-postgres", "from PostgreSQL", "postgres", False, ("freshet", "feast"), ("feast",)),
        ExportCase("export-parquet", "from Parquet", "parquet", False, ("freshet", "feast", "bare")),
        ExportCase("export-large", "from Parquet, large", "parquet", True, ("freshet",), ("freshet",)),
    )
}
NAMES = (*EXPORT_CASES, SERVING)
