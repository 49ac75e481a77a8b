"""One line of the table of targets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What is wanted and what was measured; `met` is None where nothing was."""

    what: str
    wanted: str
    measured: str
    met: bool | None

    @classmethod
    def of(cls, what: str, wanted: str, found: float | None, words: str, met: bool) -> Target:
        """The line for a figure in words, where there is a figure."""
        return cls(what, wanted, words, met) if found is not None else cls(what, wanted, "not measured", None)
