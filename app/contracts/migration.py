"""A migration plan: how the readers of one definition get to another one, agreed before it is applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from app.contracts.change import ObjectKind


@dataclass(frozen=True, slots=True)
class Backfill:
    """Where the past of the new version comes from. Exactly one of the three is set."""

    columns: Mapping[str, str] | None = None
    """New column -> SQL over the columns of the old version, one row of it for each of the new one; columns of the same
    name are carried over. For DuckDB. Like the definitions themselves it is code that the repo's owners vouch for."""
    pipeline: tuple[date, date] | None = None
    """First and last day (UTC midnight), both included, for which the view's pipeline has to have computed it."""
    none: str | None = None
    """Why there is nothing to fill in."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of `migrations/` in the feature repo.

    `source` and `target` are names in the registry, of the kind `kind`: another name for a version that stands beside
    the old one, the same name for a change in place, no target for something that goes without a successor.
    """

    name: str
    """NNNN_name, as the file is called."""
    what: str
    why: str
    kind: ObjectKind
    source: str
    target: str | None
    changes: tuple[str, ...] = ()
    """`Change.key` of everything that is not compatible between source and target, in any order."""
    backfill: Backfill = field(default_factory=Backfill)
    consumers: tuple[str, ...] = ()
    """Those whom it concerns and who know of it."""
    sunset: date | None = None
    """The day (UTC) after which the source may be gone."""

    @property
    def in_place(self) -> bool:
        """Whether the definition itself changes, instead of another one being put beside it."""
        return self.source == self.target
