"""Whether the machine was taken away while a test ran, so that its failure says nothing about Freshet.

On a virtual machine the hypervisor may give the CPUs to somebody else for seconds at a time. Then the deadlines that
the fault tests set run out although nothing is wrong. A test that fails is run again if, and only if, much CPU time was
stolen while it ran, and the summary names it. On an undisturbed machine a failure is a failure.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.stolen import ticks

RERUNS = 2
_SHARE = 0.05
"""Of the CPU time of all cores."""
_TICKS = 20
"""Of 10 ms. Less than this in all holds no deadline of a test up."""


class HeldUp:
    """The condition under which pytest-rerunfailures runs a failed test again: it asks for the truth value."""

    def __init__(self, read: Callable[[], tuple[int, int]] = ticks) -> None:
        """`read` tells the stolen and all ticks since the machine started."""
        self._read = read
        self.reports: list[str] = []
        """A line for each failure that was put down to the machine."""
        self._test = ""
        self._before = (0, 0)

    def begin(self, test: str) -> None:
        """A test starts now."""
        self._test, self._before = test, self._read()

    def note(self) -> None:
        """The test failed and is run again."""
        stolen, total = self._passed()
        self.reports.append(f"run again, since {stolen / total:.0%} of the CPU time was stolen: {self._test}")

    def __bool__(self) -> bool:
        stolen, total = self._passed()
        return stolen >= max(_TICKS, _SHARE * total)

    def _passed(self) -> tuple[int, int]:
        stolen, total = (after - before for after, before in zip(self._read(), self._before, strict=True))
        return stolen, max(1, total)
