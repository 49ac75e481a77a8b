"""What a run found, as plain data that goes to results.json and comes back from there."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.exporting.results import Exports


@dataclass(frozen=True)
class Sample:
    """One contestant under one case's load, once. Seconds; `cpu_*` are CPU seconds per second of load."""

    case: str
    contestant: str
    round: int
    requests: int
    failures: int
    rate: float
    """Answers with a 2xx status per second."""
    p50: float
    p99: float
    cpu_server: float
    cpu_redis: float
    cpu_generator: float
    stolen: float = 0.0
    """Share of the machine's CPU time that the hypervisor gave to others meanwhile (benchmarks.stolen)."""
    thrown_away: int = 0
    """Measurements before this one that were not kept, because more was stolen from them."""


@dataclass(frozen=True)
class PushSample(Sample):
    """The same of pushes; `rate` counts requests, each of `rows` rows, of which `answered` were."""

    cpu_postgres: float = 0.0
    rows: int = 1
    answered: int = 0
    unapplied: int = 0
    """Rows of which Freshet says that they were late, there already, or rejected."""
    lost: int = 0
    """Rows that were answered with a 2xx status, and are not in the offline store."""
    twice: int = 0
    """Rows too many in the offline store."""

    @property
    def row_rate(self) -> float:
        """Rows per second that were answered with a 2xx status."""
        return self.rate * self.rows


@dataclass(frozen=True)
class Beside:
    """Requests for one entity at a steady rate, and how many for ten thousand were answered meanwhile. Seconds."""

    round: int
    alone: bool
    others: int
    requests: int
    failures: int
    p50: float
    p99: float
    longest: float
    stolen: float = 0.0
    thrown_away: int = 0


@dataclass(frozen=True)
class Cost:
    """What one contestant's server spent on requests of one size, sent one after the other. Seconds."""

    entities: int
    contestant: str
    round: int
    requests: int
    failures: int
    cpu_per_value: float
    p50: float
    stolen: float = 0.0
    thrown_away: int = 0


@dataclass(frozen=True)
class SoakPoint:
    """The server at one moment of the soak: seconds since its start, bytes, count."""

    seconds: float
    resident: int
    descriptors: int


@dataclass(frozen=True)
class Soak:
    """Minutes of load at half of the peak. Seconds and requests per second."""

    about: dict[str, str]
    peak: float
    rate: float
    asked: float
    """The rate that was meant: half of the peak."""
    seconds: float
    requests: int
    failures: int
    p50: float
    p99: float
    points: list[SoakPoint]


@dataclass
class Results:
    """One run of the benchmark."""

    about: dict[str, str]
    """The run in words: date, command, machine, versions."""
    samples: list[Sample] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)

    def median(self, case: str, contestant: str, what: Callable[[Sample], float]) -> float | None:
        """Over the rounds; None where it was not measured."""
        return _median([what(one) for one in self.samples if (one.case, one.contestant) == (case, contestant)])

    def cost(self, entities: int, contestant: str, what: Callable[[Cost], float]) -> float | None:
        """Over the rounds; None where it was not measured."""
        return _median([what(one) for one in self.costs if (one.entities, one.contestant) == (entities, contestant)])

    def waited(self, alone: bool, what: Callable[[Beside], float]) -> float | None:
        """Over the rounds, of the small requests alone or beside big ones; None where it was not measured."""
        return _median([what(one) for one in self.beside if one.alone is alone])

    def waited_most(self) -> float | None:
        """The longest that any small request waited beside big ones, over all rounds, in seconds."""
        return max((one.longest for one in self.beside if not one.alone), default=None)

    def everything(self) -> list[Sample | Cost | Beside]:
        """All measurements."""
        return [*self.samples, *self.costs, *self.beside]

    def failures(self) -> int:
        """Over everything."""
        return sum(one.failures for one in self.everything())


@dataclass
class Pushes:
    """One run of the pushes."""

    about: dict[str, str]
    samples: list[PushSample] = field(default_factory=list)

    def median(self, case: str, contestant: str, what: Callable[[PushSample], float]) -> float | None:
        """Over the rounds; None where it was not measured."""
        return _median([what(one) for one in self.samples if (one.case, one.contestant) == (case, contestant)])

    def failures(self) -> int:
        """Over everything."""
        return sum(one.failures for one in self.samples)


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


@dataclass
class Record:
    """results.json: the last run of the reads, of the pushes, of the soak, and of the exports; any may be missing."""

    results: Results | None = None
    soak: Soak | None = None
    pushes: list[Pushes] = field(default_factory=list)
    """The runs that the cases are from: those of one run were measured side by side."""
    exports: Exports | None = None

    def over(self, known: Record) -> Record:
        """This, and of what is known already whatever this has not measured again."""
        measured = {one.case for run in self.pushes for one in run.samples}
        older = [
            Pushes(run.about, left)
            for run in known.pushes
            if (left := [one for one in run.samples if one.case not in measured])
        ]
        pushes, exports = [*older, *self.pushes], self.exports or known.exports
        return Record(self.results or known.results, self.soak or known.soak, pushes, exports)

    @classmethod
    def read(cls, path: Path) -> Record:
        """What is on disk; an empty record where there is none."""
        if not path.exists():
            return cls()
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record = cls()
        if run := raw.get("run"):
            samples = [Sample(**one) for one in run["samples"]]
            costs = [Cost(**one) for one in run["costs"]]
            beside = [Beside(**one) for one in run.get("beside", [])]
            record.results = Results(run["about"], samples, costs, beside)
        for run in raw.get("pushes", []):
            record.pushes.append(Pushes(run["about"], [PushSample(**one) for one in run["samples"]]))
        if soak := raw.get("soak"):
            record.soak = Soak(**{**soak, "points": [SoakPoint(*one) for one in soak["points"]]})
        record.exports = Exports.of_json(raw["exports"]) if "exports" in raw else None
        return record

    def write(self, path: Path) -> None:
        """A line per measurement, so that two runs can be compared with a diff."""
        parts = []
        if self.results:
            run = self.results
            kinds: tuple[Sequence[Any], ...] = (run.samples, run.costs, run.beside)
            samples, costs, beside = ([_line(asdict(one)) for one in some] for some in kinds)
            parts.append(f'"run": {{"about": {_line(run.about)},\n"samples": [\n{_lines(samples)}],\n"costs": [\n')
            parts[-1] += f'{_lines(costs)}],\n"beside": [\n{_lines(beside)}]}}'
        if self.soak:
            points = [_line([one.seconds, one.resident, one.descriptors]) for one in self.soak.points]
            rest = {name: value for name, value in asdict(self.soak).items() if name != "points"}
            parts.append(f'"soak": {_line(rest)[:-1]}, "points": [\n{_lines(points)}]}}')
        if self.pushes:
            runs = []
            for pushes in self.pushes:
                samples = [_line(asdict(one)) for one in pushes.samples]
                runs.append(f'{{"about": {_line(pushes.about)},\n"samples": [\n{_lines(samples)}]}}')
            parts.append(f'"pushes": [{_lines(runs)}]')
        if self.exports:
            made, read = ([_line(asdict(one)) for one in some] for some in (self.exports.samples, self.exports.serving))
            parts.append(f'"exports": {{"about": {_line(self.exports.about)},\n"samples": [\n{_lines(made)}],\n')
            parts[-1] += f'"serving": [\n{_lines(read)}]}}'
        path.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


def _line(value: object) -> str:
    return json.dumps(_rounded(value))


def _lines(lines: list[str]) -> str:
    return ",\n".join(lines)


def _rounded(value: object) -> object:
    """Five significant digits: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
