"""What a run of the exports found, as plain data."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ExportSample:
    """One export by one contestant in a process of its own. Seconds and bytes."""

    case: str
    contestant: str
    round: int
    seconds: float
    """From the file of the spine to the complete file of the result, with the repo already open."""
    peak: int
    """The most resident memory that the process ever had."""
    base: int
    """What it had before the export began: Python, libraries, the registry."""
    rows: int
    """In the result."""
    wrong: int
    """Rows of the spine that are not in the result exactly once, with the values that rule 1 says."""
    stolen: float = 0.0
    thrown_away: int = 0


@dataclass(frozen=True)
class ServingSample:
    """Online reads of one entity while an export is at work beside them, or none. Seconds."""

    beside: str
    """nothing, export, or export-nice: one with a niceness of 10."""
    round: int
    requests: int
    failures: int
    rate: float
    p50: float
    p99: float
    cpu_export: float
    """CPU seconds per second that the export had meanwhile."""
    stolen: float = 0.0
    thrown_away: int = 0


@dataclass
class Exports:
    """One run of the exports."""

    about: dict[str, str]
    samples: list[ExportSample] = field(default_factory=list)
    serving: list[ServingSample] = field(default_factory=list)

    def of(self, case: str, contestant: str) -> list[ExportSample]:
        """What was measured of a contestant."""
        return [one for one in self.samples if (one.case, one.contestant) == (case, contestant)]

    def seconds(self, case: str, contestant: str) -> float | None:
        """The median over the rounds; None where it was not measured."""
        found = [one.seconds for one in self.of(case, contestant)]
        return statistics.median(found) if found else None

    def peak(self, case: str, contestant: str) -> int | None:
        """The most over the rounds; None where it was not measured."""
        return max((one.peak for one in self.of(case, contestant)), default=None)

    def waited(self, beside: str, what: Callable[[ServingSample], float]) -> float | None:
        """The median over the rounds; None where it was not measured."""
        found = [what(one) for one in self.serving if one.beside == beside]
        return statistics.median(found) if found else None

    def everything(self) -> list[ExportSample | ServingSample]:
        """All measurements."""
        return [*self.samples, *self.serving]

    def failures(self) -> int:
        """Reads that failed."""
        return sum(one.failures for one in self.serving)

    @classmethod
    def of_json(cls, raw: dict[str, Any]) -> Exports:
        """What was kept of a run."""
        samples = [ExportSample(**one) for one in raw["samples"]]
        return cls(raw["about"], samples, [ServingSample(**one) for one in raw["serving"]])
