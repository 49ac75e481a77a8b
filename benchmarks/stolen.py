"""CPU time that the machine was kept from using: on a virtual one the hypervisor gives it to somebody else.

A measurement during which much was stolen says something about the neighbours. It is made again, for every contestant
by the same rule, and the page tells how much was stolen from those that count and how often one was made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ALLOWED = 0.03
"""Share of the CPU time of all cores."""
TRIES = 3
"""How often a measurement is made at most."""
_PAUSE_SECONDS = 2.0
_STEAL = 7
"""The position of the stolen time among the numbers of /proc/stat's first line (proc(5))."""


def ticks() -> tuple[int, int]:
    """Stolen and all CPU time of all cores since the machine started, in ticks of 10 ms; (0, 0) where the system does
    not tell."""
    try:
        numbers = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:
        return 0, 0
    # The last two are part of the first two.
    return int(numbers[_STEAL]), sum(map(int, numbers[: _STEAL + 1]))


def undisturbed(measure: Callable[[], T], most: int = TRIES) -> tuple[T, float, int]:
    """What `measure` gives when at most ALLOWED is stolen meanwhile, or the least disturbed of `most` tries; the share
    that was stolen from it, and how many tries were thrown away."""
    tries: list[tuple[float, T]] = []
    while True:
        stolen, total = ticks()
        found = measure()
        stolen_after, total_after = ticks()
        share = (stolen_after - stolen) / max(1, total_after - total)
        tries.append((share, found))
        if share <= ALLOWED or len(tries) == most:
            best = min(tries, key=lambda one: one[0])
            return best[1], best[0], len(tries) - 1
        time.sleep(_PAUSE_SECONDS)
