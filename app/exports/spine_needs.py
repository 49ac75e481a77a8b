"""What an export needs of its spine: which columns must be there, of which types, and how many rows at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain import FieldSpec
from app.errors import FieldError, InvalidRequestError
from app.exports.spine_types import declared_type
from app.planning.selection import REQUEST_TIMESTAMP

EVENT_TIMESTAMP = "event_timestamp"
MAX_SPINE_ROWS = "FRESHET_MAX_SPINE_ROWS"
_MOST_SHOWN = 30
_ROW_NUMBER = "file_row_number"


@dataclass(frozen=True)
class SpineNeeds:
    """The join keys and request fields of an export, by column, and how many rows the setting `limit` allows.

    Every spine needs `event_timestamp` besides; of the request fields `request_timestamp` may be missing.
    """

    join_keys: Mapping[str, FieldSpec]
    request_fields: Mapping[str, FieldSpec]
    max_rows: int
    limit: str = MAX_SPINE_ROWS

    @property
    def fields(self) -> Mapping[str, FieldSpec]:
        """Every column of a declared type; the event timestamp is none of them."""
        return {**self.request_fields, **self.join_keys}

    def column_faults(self, names: Sequence[str], timed: bool = True) -> list[FieldError]:
        """What is wrong with the columns of a spine, by their names: those that are missing, that no spine can carry,
        and that cannot be kept apart. Not `timed` are entities, to which the times are yet to come."""
        needed = [*self.join_keys, *(name for name in self.request_fields if name != REQUEST_TIMESTAMP)]
        if timed and EVENT_TIMESTAMP not in needed:
            needed.append(EVENT_TIMESTAMP)
        there, wanted = _listed(names), _listed(needed)
        faults = [
            FieldError(name, f"missing; needed are {wanted}, and there are {there}")
            for name in needed
            if name not in names
        ]
        if not timed and EVENT_TIMESTAMP in names:
            faults.append(FieldError(EVENT_TIMESTAMP, "must not be there: start, end and every say the times"))
        faults += [
            FieldError(field.name, f"is {field.dtype} in the registry, a type that a spine cannot carry")
            for field in self.fields.values()
            if field.name in names and declared_type(field.dtype) is None
        ]
        return [*faults, *_ambiguous(names)]

    def check_rows(self, rows: int, at_least: bool = False) -> None:
        """Raises InvalidRequestError where a spine has more rows than it may have."""
        if rows > self.max_rows:
            got = f"{'at least ' if at_least else ''}{rows:,}"
            advice = "split the export" if self.limit == MAX_SPINE_ROWS else "order an export, which may have more"
            message = f"at most {self.max_rows:,} rows ({self.limit}), got {got}; {advice}"
            raise InvalidRequestError("The spine has too many rows", [FieldError("spine", message)])


def _ambiguous(names: Sequence[str]) -> list[FieldError]:
    faults = [FieldError(name, "is there twice; rename one") for name, count in Counter(names).items() if count > 1]
    seen: dict[str, str] = {}
    for position, name in enumerate(names):
        if name.lower() == _ROW_NUMBER:
            faults.append(FieldError(name, "is what DuckDB calls the places of rows; rename it"))
        if not name or "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
            faults.append(FieldError(f"column {position}", "needs a name, of letters that are Unicode and no NUL"))
        # DuckDB, which reads the spine, takes names for the same that differ in the case of ASCII letters.
        folded = "".join(letter.lower() if letter.isascii() else letter for letter in name)
        if seen.setdefault(folded, name) != name:
            faults.append(FieldError(name, f"differs from {seen[folded]} in case only; rename one"))
    return faults


def _listed(names: Sequence[str]) -> str:
    shown = [name[:100] for name in names[:_MOST_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join([*shown, f"and {more} more"] if more else shown) or "none"
