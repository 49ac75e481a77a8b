"""Is it flat? A line fitted through what the server held while it was under load."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.results import Soak, SoakPoint

_SETTLED = 0.2  # of the time: caches and the allocator's arenas fill first
_GROWTH = 0.02  # of the resident memory
_GROWTH_BYTES = 2 * 2**20  # what one arena of the allocator may add at any time
_DESCRIPTORS = 1.0


@dataclass(frozen=True)
class Verdict:
    """Slopes after the first fifth of the time, per hour; what they amount to over the time that is left."""

    resident_per_hour: float
    descriptors_per_hour: float
    flat: bool
    words: str


def judge(soak: Soak) -> Verdict:
    """Flat: the fitted lines rise by less than 2 % (or 2 MiB) of memory and less than one descriptor."""
    settled = [one for one in soak.points if one.seconds >= _SETTLED * soak.seconds]
    if len(settled) < 3:
        return Verdict(0.0, 0.0, False, "too short to tell")
    span = settled[-1].seconds - settled[0].seconds
    resident = _slope(settled, [one.resident for one in settled])
    descriptors = _slope(settled, [one.descriptors for one in settled])
    allowed = max(_GROWTH * settled[0].resident, _GROWTH_BYTES)
    flat = resident * span < allowed and descriptors * span < _DESCRIPTORS
    words = (
        f"{resident * span / 2**20:+.1f} MiB and {descriptors * span:+.1f} descriptors over {span / 60:.1f} minutes: "
        f"{'flat' if flat else 'not flat'}"
    )
    return Verdict(resident * 3600, descriptors * 3600, flat, words)


def _slope(points: list[SoakPoint], values: list[int]) -> float:
    """Per second, by least squares."""
    return statistics.linear_regression([one.seconds for one in points], values).slope


def milestones(soak: Soak) -> list[tuple[str, SoakPoint]]:
    """The first point, the one in the middle and the last one."""
    points = soak.points
    return [("start", points[0]), ("middle", points[len(points) // 2]), ("end", points[-1])]
