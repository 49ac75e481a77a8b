"""Which batch sources are local Parquet files of ours to read and write, and where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlparse

import pyarrow as pa
import structlog
from feast import RepoConfig
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.file_source import FileSource

from app.errors import ConfigurationError, FreshetError, one_line
from app.stores.offline_compaction import compact
from app.stores.offline_parts import PartFiles, storing

log = structlog.get_logger(__name__)

_DESCRIPTORS = Path("/proc/self/fd")


def is_parquet(source: DataSource | None) -> bool:
    """Whether our code reads the source: a FileSource in Parquet, which is also Feast's default format."""
    return isinstance(source, FileSource) and isinstance(source.file_format, ParquetFormat | None)


def is_remote(source: FileSource) -> bool:
    """Whether the source lies on another filesystem than the local one, such as s3."""
    return urlparse(source.path).scheme not in ("", "file")


def local_path(config: RepoConfig, source: FileSource) -> Path:
    """Where a local source is; a relative path starts at the repo."""
    return Path(FileSource.get_uri_for_file_path(config.repo_path, source.path.removeprefix("file://")))


def part_files(config: RepoConfig, source: FileSource) -> PartFiles:
    """The files of a local source, to append to and to merge. Raises ConfigurationError for a pattern."""
    path = local_path(config, source)
    if _is_pattern(path):
        raise ConfigurationError(f"Source {source.name} is a pattern; rows can only be written to a folder or a file")
    return PartFiles(path)


def compact_source(config: RepoConfig, source: FileSource) -> int:
    """Merge the part files of a local source where it is worth it; how many files went into others.

    Where the disk, a long read or a file that cannot be read is in the way, that is logged; the next call tries again.
    Patterns are left alone.
    """
    if _is_pattern(local_path(config, source)):
        return 0
    try:
        with storing(source.name):
            merged = compact(part_files(config, source))
    except (FreshetError, pa.ArrowException) as error:
        log.warning("part files are not merged", source=source.name, reason=one_line(error))
        return 0
    if merged:
        log.info("part files merged", source=source.name, files=merged)
    return merged


def parquet_files(config: RepoConfig, source: FileSource) -> list[str | Path]:
    """The files of a source: itself, its parts, those of a folder or pattern; none where nothing was ever written.

    Together they hold every row once. Read them inside `reading`, or a compaction may remove some meanwhile.
    """
    if is_remote(source):
        return [source.path]
    path = local_path(config, source)
    return [*sorted(path.parent.glob(path.name))] if _is_pattern(path) else [*PartFiles(path).files()]


@contextmanager
def reading(config: RepoConfig, source: FileSource) -> Iterator[list[str]]:
    """Names under which a source's files can be read inside the with block, as they were at its beginning.

    The files are held open, so that whoever replaces or removes one meanwhile, a compaction or a stranger, changes
    nothing here. Where that cannot be (another system than Linux, or too many of them), no compaction removes one.
    """
    path = None if is_remote(source) else local_path(config, source)
    locked = nullcontext() if path is None or _is_pattern(path) else PartFiles(path).reading()
    with ExitStack() as held:
        with ExitStack() as listing:
            listing.enter_context(locked)
            files = [str(file) for file in parquet_files(config, source)]
            names = None if path is None else _held_open(files, held)
            if names is None:
                held.push(listing.pop_all())
        yield files if names is None else names


def _held_open(files: list[str], held: ExitStack) -> list[str] | None:
    """Names that lead to these files whatever becomes of their own, until `held` ends; None where there are none."""
    if not _DESCRIPTORS.is_dir():
        return None
    with ExitStack() as opened:
        names = []
        for file in files:
            try:
                descriptor = os.open(file, os.O_RDONLY)
            except OSError:  # too many, or gone, or not ours to read: who reads it by its name will say so
                return None
            opened.callback(os.close, descriptor)
            names.append(str(_DESCRIPTORS / str(descriptor)))
        held.push(opened.pop_all())
        return names


def _is_pattern(path: Path) -> bool:
    return any(character in path.name for character in "*?[") and not path.exists()
