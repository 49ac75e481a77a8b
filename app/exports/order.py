"""An export as its job remembers it: what was asked for, and where its files are."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from app.exports.destination import Destination
from app.exports.formats import ExportFormat
from app.exports.manifest import manifest_name
from app.exports.spine_file import SpineFile

KIND = "export"
"""The kind of these jobs."""
_SPINE = "spine.parquet"


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a job was asked for; `cutoff` (UTC) is when. `origin` says where the spine came from."""

    format: ExportFormat
    origin: str
    cutoff: datetime
    feature_service: str | None = None
    features: tuple[str, ...] | None = None
    known_at: bool = False
    full_feature_names: bool = False


class ExportFiles:
    """The files of one export: its spine, and for each attempt of its job a result with its manifest."""

    def __init__(self, root: Destination, job_id: str) -> None:
        self.folder = root.child(job_id)
        self._id = job_id

    @property
    def kept_spine(self) -> Destination:
        """Where the spine is."""
        return self.folder.child(_SPINE)

    @contextmanager
    def work(self, attempt: int) -> Iterator[Path]:
        """A folder of this machine for what an attempt spills, gone after the with block. Beside the result where that
        is on this machine, so that the next attempt finds and removes what a killed one has left."""
        if self.folder.local is None:
            with tempfile.TemporaryDirectory(prefix="freshet-export-") as folder:
                yield Path(folder)
            return
        place = self._work(attempt)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _work(self, attempt: int) -> Path:
        return Path(self.folder.local or ".") / f".work-{attempt}"

    def result_name(self, attempt: int, form: ExportFormat) -> str:
        """The file that an attempt writes."""
        return f"{self._id}-{attempt}{form.suffix}"

    def attempt_id(self, attempt: int) -> str:
        """What the hidden files of an attempt are called after."""
        return f"{self._id}-{attempt}"

    def keep_spine(self, make: Callable[[Path], SpineFile]) -> SpineFile:
        """Let `make` write the spine into the path that it is given, and keep it. Raises what `make` raises; then
        nothing is kept."""
        place = self.kept_spine
        with tempfile.TemporaryDirectory(prefix="freshet-spine-") as work:
            spine = make(Path(work) / _SPINE)
            with spine.path.open("rb") as made, place.writing(self._id) as kept:
                shutil.copyfileobj(made, kept, 2**20)
        return spine

    @contextmanager
    def spine(self, work: Path) -> Iterator[SpineFile]:
        """The spine, as a file of this machine for the with block."""
        place = self.kept_spine
        if place.local is not None:
            yield SpineFile.read(place.local)
            return
        copy = work / _SPINE
        with contextlib.closing(place.open()) as kept, copy.open("wb") as here:
            shutil.copyfileobj(kept, here, 2**20)
        yield SpineFile.read(copy)

    def remove_attempt(self, attempt: int, form: ExportFormat) -> None:
        """Remove what an attempt has written, finished or not."""
        name = self.result_name(attempt, form)
        if self.folder.local is not None:
            shutil.rmtree(self._work(attempt), ignore_errors=True)
        for part in (name, manifest_name(name)):
            place = self.folder.child(part)
            place.clean(self.attempt_id(attempt))
            place.remove()

    def remove_spine(self) -> None:
        """Remove the spine, and the folder where there is one."""
        place = self.kept_spine
        place.clean(self._id)
        place.remove()
        if self.folder.local is not None:
            with contextlib.suppress(OSError):
                self.folder.local.rmdir()
