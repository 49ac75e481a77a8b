"""freshet compute, backfill, materialize: features from events to the offline store, and from there online."""

from __future__ import annotations

from datetime import datetime

from app.commands.console import moment, out, past, progress_bar
from app.deployment import Deployment, deployment, now
from app.errors import FieldError, InvalidRequestError, NotFoundError
from app.jobs import compute as computing
from app.jobs.pipelines import Pipeline, load_pipelines
from app.settings import Settings


def compute(as_of: str | None, known_at: str | None, views: list[str] | None, force: bool) -> None:
    """Run every pipeline (or those of `views`) as of one moment, today's midnight unless given."""
    at = past(as_of, "--as-of") if as_of else _midnight(now())
    known = past(known_at, "--known-at") if known_at else None
    with deployment(Settings()) as parts:
        for pipeline in _pipelines(parts, views):
            run_pipeline(parts, pipeline, [at], known, force)


def backfill(view: str, start: str, end: str, force: bool) -> None:
    """Run the pipeline of one view for every midnight from `start` to `end`."""
    first, last = past(start, "--from"), past(end, "--to")
    if first > last:
        raise InvalidRequestError("--to: must not lie before --from", [FieldError("--to", "before --from")])
    with deployment(Settings()) as parts:
        (pipeline,) = _pipelines(parts, [view])
        run_pipeline(parts, pipeline, computing.days(first, last), None, force)


def materialize(views: list[str] | None, start: str | None, end: str | None) -> None:
    """Materialize the named views, or every view that is kept online."""
    since = moment(start, "--start") if start else None
    until = moment(end, "--end") if end else None
    if since and until and since > until:
        raise InvalidRequestError("--end: must not lie before --start", [FieldError("--end", "before --start")])
    with deployment(Settings()) as parts:
        names = views or [view.name for view in parts.catalog.views.values() if view.online and view.enabled]
        for name in names:
            materialize_view(parts, name, since, until)


def run_pipeline(
    parts: Deployment, pipeline: Pipeline, moments: list[datetime], known_at: datetime | None, force: bool = False
) -> list[computing.Computed]:
    """Run one pipeline for every moment, with a progress bar."""
    view = parts.view(pipeline.view)
    events = pipeline.open_events(parts.settings.events_folder)
    results = []
    with progress_bar(f"Compute {view.name}") as report:
        report(0, len(moments))
        for number, at in enumerate(moments, start=1):
            results.append(
                computing.compute(
                    pipeline, view, events, at, known_at, parts.offline, parts.metadata, parts.repo.project, now, force
                )
            )
            report(number, len(moments))
    rows = sum(result.rows or 0 for result in results)
    skipped = sum(result.rows is None for result in results)
    again = f", {skipped} computed before" if skipped else ""
    out.print(f"  {view.name}: {rows:,} rows for {len(moments) - skipped} moments{again}")
    return results


def materialize_view(
    parts: Deployment, name: str, start: datetime | None = None, end: datetime | None = None, quiet: bool = False
) -> None:
    """Materialize one view, with a progress bar; `quiet` says nothing where there was nothing to do."""
    with progress_bar(f"Materialize {name}") as report:
        result = parts.materializer.materialize(parts.view(name), start, end, report)
    if quiet and not result.rows:
        return
    found = (
        f"{result.rows:,} rows read, {result.applied:,} applied" if result.rows else "no offline rows to bring online"
    )
    out.print(f"  {name}: {found}, up to {result.end:%Y-%m-%d %H:%M} UTC")


def _pipelines(parts: Deployment, views: list[str] | None) -> list[Pipeline]:
    known = load_pipelines(parts.settings.pipelines_reference)
    for name in views or ():
        if name not in known:
            raise NotFoundError(f"No pipeline computes {name}. Known: {', '.join(known) or 'none'} (FRESHET_PIPELINES)")
    wanted = [known[name] for name in views] if views else list(known.values())
    found = [pipeline for pipeline in wanted if pipeline.view in parts.catalog.views]
    if not found:
        raise NotFoundError("No pipeline computes a feature view of this registry; run `freshet apply` first")
    return found


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
