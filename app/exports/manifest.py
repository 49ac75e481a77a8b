"""The manifest of a result: what it was made of, and what came out, so that it can be made again and compared.

It lies beside the result, as indented JSON, and is read back strictly: a manifest that is not understood completely
cannot be reproduced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec

from app.errors import InvalidRequestError
from app.exports.formats import ExportFormat
from app.exports.statistics import FeatureStatistics

VERSION = 1
"""Rises when a field changes its meaning, is added or goes."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""In UTC."""


def manifest_name(result: str) -> str:
    """The name of the manifest beside the file of a result."""
    return f"{result}.manifest.json"


@dataclass(frozen=True, kw_only=True)
class SpineOrigin:
    """The rows that were asked for."""

    sha256: str
    rows: int
    columns: tuple[str, ...]
    origin: str
    """Where they came from: inline, uploaded, generated, or the path of a file."""


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """A column of the result, and its Arrow type as text."""

    name: str
    dtype: str


@dataclass(frozen=True, kw_only=True)
class ViewDefinition:
    """A view that was read, those that on-demand views read included."""

    view: str
    """Its name, with the version where a request asked for one."""
    version: int | None
    """Feast's number of the version in force, where it keeps one."""
    definition_hash: str
    """See app.exports.definition_hash."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """The file of the result."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that decided a result, and what it is. Times are UTC."""

    manifest_version: int = VERSION
    export_id: str
    project: str
    feature_service: str | None
    """None where features were named one by one."""
    features: tuple[str, ...]
    """`view:feature`, in the order of the columns."""
    views: tuple[ViewDefinition, ...]
    registry_hash: str
    spine: SpineOrigin
    cutoff: Moment
    """Rows that were created later did not count."""
    known_at: bool
    """Whether each row also saw only what had been created by its own time."""
    format: ExportFormat
    full_feature_names: bool
    rows: int
    schema: tuple[ColumnType, ...]
    statistics: tuple[FeatureStatistics, ...]
    data: DataFile
    engines: Mapping[str, str]
    """Versions by name: freshet, feast, duckdb, pyarrow, python."""
    timings: Mapping[str, float]
    """Seconds by phase."""
    started_at: Moment
    finished_at: Moment

    def encode(self) -> bytes:
        """As indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


@dataclass(frozen=True)
class _Versioned:
    manifest_version: int


def read_manifest(data: bytes) -> Manifest:
    """The manifest that was encoded. Raises InvalidRequestError that says what is wrong with it."""
    try:
        found = msgspec.json.decode(data, type=_Versioned)
        if found.manifest_version != VERSION:
            raise InvalidRequestError(
                f"The manifest has version {found.manifest_version}, and this Freshet reads version {VERSION}; "
                "use the version of Freshet that wrote it"
            )
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestError(f"This is no manifest of a result: {error}") from error
