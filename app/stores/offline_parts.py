"""Where the rows of a local Parquet source are: part files that appear whole, and merges of them that no reader sees.

A folder source is its part files. A single file `x.parquet` has its newer part files beside it, in `x.parquet.parts`,
until a compaction folds them in. The journal of a merge says which parts the merged file replaces; from the moment that
file is in place, readers of this class leave those parts out, whoever is killed before they are removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from app.durable_files import make_folder, sync_folder, written
from app.errors import StoreUnavailableError

TOKEN = b"freshet.merge"
"""The key in a merged file's metadata under which the journal's token is found."""
_JOURNAL = ".freshet-merge.json"
_SWITCH_SECONDS = 10.0


@dataclass(frozen=True)
class Merge:
    """One merge on its way: the file that it makes, how to know that file, and the parts that are in it."""

    merged: str
    token: str
    replaces: tuple[str, ...]


class PartFiles:
    """The files of one source, to read and to append to. Cheap to make; holds nothing open."""

    def __init__(self, path: Path) -> None:
        single = path.suffix == ".parquet" and not path.is_dir()
        self.base = path if single else None
        self.folder = path.with_name(f"{path.name}.parts") if single else path

    def files(self) -> list[Path]:
        """The files that hold every row once; none where nothing was ever written."""
        found = sorted(self.folder.rglob("*.parquet"))
        if self.base is not None and self.base.exists():
            found.insert(0, self.base)
        merge = self.journal()
        if merge is None or not self.is_done(merge):
            return found
        replaced = {self.folder / name for name in merge.replaces}
        return [file for file in found if file not in replaced]

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """No file of `files` is removed inside the with block."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def switching(self) -> Iterator[None]:
        """Nobody reads inside the with block: for the moment in which a merged file takes the place of others."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def _locked(self, mode: int) -> Iterator[None]:
        try:
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # no parts, so that nothing is ever merged
            yield
            return
        try:
            acquire(folder, mode, _SWITCH_SECONDS)
            yield
        finally:
            os.close(folder)

    def add(self, table: pa.Table, name: str | None = None) -> None:
        """Append rows, or replace the part called `name`: on disk when this returns. Raises OSError; then nothing was
        kept."""
        if self.base is not None and not self.base.exists() and _found(self.base, table):
            return
        make_folder(self.folder)
        unique = f"part-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
        place = self.folder / f"{name or unique}.parquet"
        with written(place, _encoded(table)) as temporary:
            temporary.replace(place)
            _settle(place, keep=name is not None)

    def journal(self) -> Merge | None:
        """The merge that is on its way, or was when somebody was killed."""
        try:
            found = json.loads((self.folder / _JOURNAL).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Merge(found["merged"], found["token"], tuple(found["replaces"]))

    def write_journal(self, merge: Merge | None) -> None:
        """Record a merge before its file takes its place, or that none is on its way any more; on disk afterwards."""
        if merge is None:
            (self.folder / _JOURNAL).unlink(missing_ok=True)
        else:
            temporary = self.folder / f"{_JOURNAL}.{uuid.uuid4().hex[:8]}.tmp"
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(asdict(merge), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.folder / _JOURNAL)
        sync_folder(self.folder)

    def is_done(self, merge: Merge) -> bool:
        """Whether the merged file has taken its place."""
        place = self.base if self.base is not None and merge.merged == self.base.name else self.folder / merge.merged
        try:
            return pq.read_schema(place).metadata[TOKEN] == merge.token.encode()
        except (FileNotFoundError, KeyError, TypeError):
            return False


def _encoded(table: pa.Table) -> Callable[[BinaryIO], object]:
    """Parquet for few rows: dictionaries would cost time and space, and a call into Python for each page time."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    data = sink.getvalue()
    return lambda file: file.write(data)


def _found(place: Path, table: pa.Table) -> bool:
    """Make the single file itself of the first rows; False where somebody else did, or it cannot be done."""
    make_folder(place.parent)
    with written(place, _encoded(table)) as temporary:
        try:
            # A link, unlike a rename, never replaces what another process has just put there.
            os.link(temporary, place)
        except OSError:  # there is one, or this filesystem knows no links
            return False
        _settle(place)
        return True


def _settle(place: Path, keep: bool = False) -> None:
    """Bring the name of a new file to disk; where that fails, remove it again, as its rows are reported as not kept."""
    try:
        sync_folder(place.parent)
    except OSError:
        if not keep:
            place.unlink(missing_ok=True)
        raise


def acquire(descriptor: int, mode: int, seconds: float) -> None:
    """flock within `seconds`. Raises StoreUnavailableError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreUnavailableError("Another process reads or merges the same Parquet files") from None
            time.sleep(0.01)
        else:
            return


@contextlib.contextmanager
def storing(source: str) -> Iterator[None]:
    """Turn what a filesystem refuses into StoreUnavailableError that names the source and says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "the disk is full" if full else f"its folder cannot be written ({error.strerror or 'unknown reason'})"
        advice = "free some space" if full else "let this process write there"
        raise StoreUnavailableError(f"Nothing was kept in source {source}: {reason}; {advice}") from error


def stored_schema(file: Path) -> pa.Schema | None:
    """The columns of a Parquet file, remembered until it changes; None where there is no such file."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return _schema(file, (found.st_ino, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=256)
def _schema(file: Path, identity: tuple[int, ...]) -> pa.Schema:
    return pq.read_schema(file)
