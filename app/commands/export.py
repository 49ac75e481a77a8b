"""`freshet export`: a training set made here and now, in this process, with a progress bar."""

from __future__ import annotations

import tempfile
import uuid
from datetime import datetime
from pathlib import Path

from app.commands.console import out, progress_bar
from app.deployment import Deployment, deployment, now
from app.domain import ValueStatus
from app.errors import FieldError, InvalidRequestError, NotFoundError
from app.exports.choose import choose
from app.exports.destination import Destination
from app.exports.formats import ExportFormat
from app.exports.manifest import Manifest, manifest_name, read_manifest
from app.exports.reproduction import compare
from app.exports.run import ExportOrder, run_export
from app.exports.spine import spine_of_file
from app.exports.spine_needs import SpineNeeds
from app.settings import Settings

_LONGEST_NAME = 190
"""Bytes: the manifest's name, with the id of the attempt that writes it, has at most the 255 that filesystems take."""


def export(
    service: str | None,
    features: list[str] | None,
    spine: Path,
    target: str,
    form: str | None,
    known_at: bool,
    full_feature_names: bool,
) -> None:
    """Export a feature service, or a list of features, for the rows of a spine file."""
    if not spine.is_file():
        raise NotFoundError(f"There is no spine {spine}")
    with deployment(Settings()) as parts:
        manifest = _run(
            parts,
            service=service,
            features=features,
            spine=spine,
            target=target,
            form=_format(form, target),
            known_at=known_at,
            full_feature_names=full_feature_names,
            cutoff=now(),
        )
    _tell(manifest, target)


def reproduce(manifest_file: Path, spine: Path | None, target: str | None) -> bool:
    """Run the export of a manifest again as of its cutoff; whether the data are the same. Without a target the result
    is not kept."""
    try:
        then = read_manifest(manifest_file.read_bytes())
    except OSError as error:
        raise InvalidRequestError(f"{manifest_file} cannot be read: {error.strerror}") from error
    origin = spine or Path(then.spine.origin)
    if not origin.is_file():
        if spine is None and not origin.is_absolute():
            raise NotFoundError(
                f"The spine was {origin}: fetch it from /v1/exports/{then.export_id[:36]}/spine, and name it by --spine"
            )
        raise NotFoundError(f"The spine {origin} is not there; name it by --spine")
    with tempfile.TemporaryDirectory(prefix="freshet-export-") as folder, deployment(Settings()) as parts:
        again = _run(
            parts,
            service=then.feature_service,
            features=None if then.feature_service else list(then.features),
            spine=origin,
            target=target or str(Path(folder) / then.data.name),
            form=then.format,
            known_at=then.known_at,
            full_feature_names=then.full_feature_names,
            cutoff=then.cutoff,
        )
    differences = compare(then, again)
    if not differences:
        out.print(f"  the same {again.rows:,} rows, sha256 {again.data.sha256}")
    for difference in differences:
        out.print(f"  {difference}", markup=False)
    return not differences


def _run(
    parts: Deployment,
    *,
    service: str | None,
    features: list[str] | None,
    spine: Path,
    target: str,
    form: ExportFormat,
    known_at: bool,
    full_feature_names: bool,
    cutoff: datetime,
) -> Manifest:
    settings = parts.settings
    selection = choose(parts.catalog, service, features)
    folder, name = _place(target)
    if folder.local is not None and (folder.local / name).resolve() == spine.resolve():
        raise _no_target("it is the spine, which the result would replace; name another file")
    needs = SpineNeeds(selection.join_keys, selection.request_fields, settings.max_spine_rows)
    with tempfile.TemporaryDirectory(prefix="freshet-export-") as work, progress_bar(f"Export {name}") as bar:
        rows = spine_of_file(spine, needs, Path(work) / "spine.parquet")
        order = ExportOrder(
            export_id=uuid.uuid4().hex,
            selection=selection,
            catalog=parts.catalog,
            spine=rows,
            origin=str(spine.resolve()),
            format=form,
            cutoff=cutoff,
            known_at=known_at,
            full_feature_names=full_feature_names,
            memory=settings.export_memory,
            spill=Path(work) / "spill",
        )
        return run_export(order, parts.history, folder, name, now, lambda _, done, total: bar(done, total or rows.rows))


def _place(target: str) -> tuple[Destination, str]:
    """The folder and the name of a result. Raises InvalidRequestError for a target that is no file."""
    if "://" not in target:
        path = Path(target).expanduser().resolve()
        if target.endswith("/") or path.is_dir():
            raise _no_target("it is a folder; name a file in it")
        return Destination.parse(str(path.parent)), _named(path.name)
    address, question, query = target.partition("?")
    scheme, _, rest = address.partition("://")
    place, slash, name = rest.rpartition("/")
    if not slash:
        raise _no_target("it names no file; write a bucket and a name, such as s3://bucket/training.parquet")
    name = _named(name)
    return Destination.parse(f"{scheme}://{place}{question}{query}"), name


def _named(name: str) -> str:
    """The name, where it is one that every filesystem takes."""
    if not name or name in (".", "..") or "\\" in name or "\0" in name:
        raise _no_target(f"{name!r} is no name of a file; give it one without backslashes")
    if len(name.encode(errors="surrogateescape")) > _LONGEST_NAME:
        raise _no_target(f"the name is too long; at most {_LONGEST_NAME} bytes")
    return name


def _no_target(message: str) -> InvalidRequestError:
    return InvalidRequestError(f"--out: {message}", [FieldError("--out", message)])


def _format(given: str | None, target: str) -> ExportFormat:
    """The format that was named, or the one that the name of the result ends with."""
    text = given or target.partition("?")[0].rpartition(".")[2]
    if text in set(ExportFormat):
        return ExportFormat(text)
    known = ", ".join(ExportFormat)
    message = f"{text or 'nothing'} is no format; known are {known}"
    raise InvalidRequestError(f"--format: {message}", [FieldError("--format", message)])


def _tell(manifest: Manifest, target: str) -> None:
    out.print(f"  {manifest.rows:,} rows, {manifest.data.bytes:,} bytes: {target}", markup=False)
    out.print(f"  manifest: {manifest_name(manifest.data.name)}, sha256 {manifest.data.sha256}", markup=False)
    for one in manifest.statistics:
        missing = [
            f"{one.share(status):.0%} {status.lower().replace('_', ' ')}"
            for status in ValueStatus
            if status is not ValueStatus.PRESENT and one.statuses[status]
        ]
        if missing:
            out.print(f"  {one.feature}: {', '.join(missing)}", markup=False)
