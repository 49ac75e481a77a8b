"""Compaction: many small part files become few large ones, and those beside a single file are folded into it.

One merge at a time per source, whichever process does it. The merged file is written beside the parts while they are
read and appended to as ever; only the switch keeps readers out, for as long as some renames and removals take. A crash
at any point leaves the rows once, to readers of PartFiles; see docs/adr/0011-offline-appends.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from app.durable_files import make_folder
from app.errors import StoreUnavailableError
from app.stores.offline_merging import fold, merge, of_one_schema, read_rows, remove_replaced
from app.stores.offline_parts import PartFiles, acquire

TARGET_BYTES = 128 * 2**20
TARGET_ROWS = 1_000_000
MOST_PARTS = 64
_LOCK = ".freshet-compaction.lock"
# Only what appends and merges have named: other names, such as as_of=..., mean something to who chose them.
_OURS = re.compile(r"(part|merged)-\d{8}T\d{12}-[0-9a-f]{8}\.parquet")
_ABANDONED_SECONDS = 3600.0
_REWRITE_SECONDS = 600.0


@dataclass(frozen=True)
class Part:
    """A part file: its name, which begins with the kind and the time it was made, its bytes and its rows."""

    name: str
    size: int
    rows: int


def is_small(size: int, rows: int = 0) -> bool:
    """Whether a part is less than a quarter of what a merged file should be."""
    return size < TARGET_BYTES // 4 and rows < TARGET_ROWS // 4


def plan(parts: Sequence[Part]) -> list[list[Part]]:
    """Which parts to merge with each other; nothing while there are at most MOST_PARTS small ones.

    A part is merged when the smaller ones together are as large as it is: each row is then rewritten at most once per
    doubling, and the parts that are left double in size. Groups hold the oldest parts first, up to the target.
    """
    small = sorted((part for part in parts if is_small(part.size, part.rows)), key=lambda part: (part.size, part.name))
    if len(small) <= MOST_PARTS:
        return []
    total = worthwhile = 0
    for number, part in enumerate(small, start=1):
        if part.size <= total:
            worthwhile = number
        total += part.size
    groups: list[list[Part]] = [[]]
    for part in sorted(small[:worthwhile], key=lambda part: part.name.partition("-")[2]):
        group = groups[-1]
        if sum(one.size for one in group) >= TARGET_BYTES or sum(one.rows for one in group) >= TARGET_ROWS:
            group = []
            groups.append(group)
        group.append(part)
    return [group for group in groups if len(group) > 1]


def compact(files: PartFiles) -> int:
    """Merge what is worth it; how many files went into others. 0 where another process is at it.

    Raises OSError where the disk does, and StoreUnavailableError where somebody reads for too long to wait.
    """
    if not files.folder.is_dir():
        return 0
    with _alone(files.folder) as alone:
        if not alone:
            return 0
        _recover(files)
        count = 0
        for group in plan(_parts(files.folder)):
            paths = [files.folder / part.name for part in group]
            for same in of_one_schema(paths):
                count += merge(files, same)
        if files.base is not None and _worth_folding(files, files.base):
            count += fold(files, files.base)
        return count


def rewrite(files: PartFiles, base: Path, table: pa.Table, replacing: Mapping[str, datetime]) -> None:
    """Write a single file anew, with its parts folded in and `table` added, without the rows that have the values of
    `replacing`. Raises OSError and StoreUnavailableError."""
    make_folder(files.folder)
    with _alone(files.folder, _REWRITE_SECONDS):
        _recover(files)
        fold(files, base, table, replacing)


@contextlib.contextmanager
def _alone(folder: Path, seconds: float = 0.0) -> Iterator[bool]:
    """Whether this is the only one that merges here; with `seconds`, wait for that, and raise StoreUnavailableError."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            acquire(descriptor, fcntl.LOCK_EX, seconds)
        except StoreUnavailableError:
            if seconds:
                raise
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _recover(files: PartFiles) -> None:
    """Finish what somebody who was killed has begun, and remove what nobody will finish."""
    pending = files.journal()
    if pending is not None:
        with files.switching():
            if files.is_done(pending):
                remove_replaced(files, pending)
            files.write_journal(None)
    places = [(files.folder, ".*.tmp")]
    if files.base is not None:
        places.append((files.base.parent, f".{files.base.name}.*.tmp"))
    for abandoned in (path for folder, pattern in places for path in folder.glob(pattern)):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
                abandoned.unlink()


def _parts(folder: Path) -> list[Part]:
    found = [(path, path.stat().st_size) for path in folder.iterdir() if _OURS.fullmatch(path.name)]
    small = [(path, size) for path, size in found if is_small(size)]
    if len(small) <= MOST_PARTS:  # no need to open them
        return []
    return [Part(path.name, size, read_rows(path)) for path, size in small]


def _worth_folding(files: PartFiles, base: Path) -> bool:
    """Whether the single file is so small, or its parts together so large, that it should be written anew."""
    parts = sum(path.stat().st_size for path in files.folder.glob("*.parquet"))
    size = base.stat().st_size if base.exists() else 0
    return parts > 0 and (is_small(size) or parts >= size / 4)
