"""A contestant's process, run to its end or ended."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import environment
from benchmarks.world import ROOT
from tests.servers.errors import ServerError
from tests.servers.process import GuardedProcess

_SECONDS = 900.0
_LOOK = 0.05


@dataclass(frozen=True)
class Exported:
    """Seconds of one export, the most memory that its process had, and what it had before; bytes."""

    seconds: float
    peak: int
    base: int


def export_once(contestant: str, repo: Path, spine: Path, target: Path) -> Exported:
    """Let a contestant export in a process of its own. Raises ServerError where it fails."""
    with _running(contestant, repo, spine, target) as process:
        status = process.wait(_SECONDS)
        if status != 0:
            how = "did not end in time" if status is None else f"ended with status {status}"
            raise ServerError(f"The export of {contestant} {how}. Its log ends:\n{process.tail()}")
        base, found = _said(process)
        return Exported(found["seconds"], int(found["peak"]), int(base["base"]))


@contextlib.contextmanager
def exporting(repo: Path, spine: Path, target: Path, niceness: int) -> Iterator[GuardedProcess]:
    """Freshet's exports one after the other inside the with block, the first of them already begun. Raises ServerError
    where they did not last."""
    with _running("freshet", repo, spine, target, "--again", "--nice", str(niceness)) as process:
        deadline = time.monotonic() + _SECONDS
        while not _said(process):
            if process.wait(_LOOK) is not None or time.monotonic() > deadline:
                raise ServerError(f"The export did not begin. Its log ends:\n{process.tail()}")
        yield process
        if not process.running:
            raise ServerError(f"The export ended before the reads did. Its log ends:\n{process.tail()}")


@contextlib.contextmanager
def _running(contestant: str, repo: Path, spine: Path, target: Path, *more: str) -> Iterator[GuardedProcess]:
    folder = target.parent
    extra = {
        "PYTHONPATH": str(ROOT),
        "FRESHET_FEATURE_REPO": str(repo),
        "FRESHET_DATA_DIR": str(folder / "freshet"),
        "FEAST_USAGE": "False",
    }
    files: list[str | Path] = ["--repo", repo, "--spine", spine, "--target", target]
    process = GuardedProcess(
        [sys.executable, "-m", "benchmarks.exporting.exporter", contestant, *files, *more],
        log=folder / f"{contestant}.log",
        environment=environment(folder / contestant, extra),
        directory=folder,
    )
    try:
        yield process
    finally:
        process.kill()


def _said(process: GuardedProcess) -> list[dict[str, float]]:
    """Complete lines of JSON; whatever else a library writes is left out."""
    lines = process.output().split("\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith("{")]
