"""Tables in Markdown, and what stands in them on every page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from benchmarks.exporting.results import ExportSample, ServingSample
from benchmarks.results import Beside, Cost, Sample

Measured: TypeAlias = Sample | Cost | Beside | ExportSample | ServingSample


def table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """A Markdown table and an empty line."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def about(words: Mapping[str, str], everything: Sequence[Measured]) -> Iterator[str]:
    """The table of a run in words, with how much was stolen from its measurements."""
    rows = [[name, f"`{text}`" if name == "command" else text] for name, text in words.items()]
    most, again = max(one.stolen for one in everything), sum(one.thrown_away for one in everything)
    rows.append(["stolen", f"at most {100 * most:.0f} % of the CPU time; {again} measurements were made again"])
    yield from table(["", ""], rows)


def times(found: float | None) -> str:
    """A ratio; a dash where there is none."""
    return "-" if found is None else f"{found:.1f} x"
