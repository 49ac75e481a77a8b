"""One difference between two sets of definitions, and what it does to those who read them."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ChangeClass(enum.StrEnum):
    """What a change does to readers (DESIGN.md section 8), from harmless to harmful."""

    COMPATIBLE = "compatible"
    """Every reader goes on as before."""
    ADDITIVE = "additive"
    """Something new; readers of what there was go on as before. The version tag of the view must rise."""
    BREAKING = "breaking"
    """Readers get something else, or nothing. Needs a migration plan."""


class ObjectKind(enum.StrEnum):
    """What has changed, in Feast's words."""

    ENTITY = "entity"
    DATA_SOURCE = "data source"
    FEATURE_VIEW = "feature view"
    ON_DEMAND_VIEW = "on demand feature view"
    OTHER_VIEW = "view"
    FEATURE_SERVICE = "feature service"
    OTHER = "object"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `key` names it in migration plans: the same change has the same key in every comparison."""

    kind: ObjectKind
    name: str
    """The object's name in the registry."""
    what: str
    """What has happened, as a slug: field-added, ttl-shortened, view-removed..."""
    change_class: ChangeClass
    reason: str
    """Why it is of that class, a sentence for whoever has made the change."""
    subject: str | None = None
    """The field, tag or projection in question; of a renamed field its old name."""
    before: str | None = None
    after: str | None = None
    ends: bool = False
    """Whether something that could be read by name is gone, or is no longer what it was by type: whoever still reads
    it fails. A breaking change that ends nothing gives other values under the same name."""

    @property
    def key(self) -> str:
        """`what name[.subject]`, for example `field-removed user_realtime.last_active_minutes_ago`."""
        return f"{self.what} {self.name}{f'.{self.subject}' if self.subject else ''}"
