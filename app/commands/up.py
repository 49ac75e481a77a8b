"""freshet up: from nothing to a serving server, in one idempotent command."""

from __future__ import annotations

import socket
from datetime import timedelta

from app.commands import serve as serving
from app.commands.console import out, progress_bar
from app.commands.definitions import apply_repo
from app.commands.features import materialize_view, run_pipeline
from app.deployment import Deployment, deployment, migrated_metadata, now
from app.domain import ServiceSpec
from app.errors import FreshetError
from app.jobs.pipelines import Pipeline, load_pipelines
from app.serving.plan import ServingPlan
from app.serving.planner import compile_service
from app.settings import Settings
from app.stores.repo import FeastRepo, open_repo

_HISTORY_DAYS = 7


def up(host: str, port: int, workers: int, worker: bool) -> None:
    """Claim the port, prepare everything, serve."""
    settings = Settings()
    with serving.claimed(host, port, settings) as listener:
        prepare(settings, listener)
        serving.run(listener, workers, settings, worker)


def prepare(settings: Settings, listener: socket.socket) -> None:
    """Everything before serving, and the banner that tells how to use it."""
    repo = open_repo(settings)
    set_up(settings, repo)
    with deployment(settings, repo) as parts:
        _banner(parts, listener)


def set_up(settings: Settings, repo: FeastRepo) -> None:
    """Migrate, apply, compute and materialize; what is done already is skipped."""
    metadata = migrated_metadata(settings)
    out.print(f"Metadata database ready ({'embedded' if metadata.embedded else 'PostgreSQL'}).")
    metadata.close()
    apply_repo(repo, settings)
    with deployment(settings, repo) as parts:
        for pipeline in load_pipelines(settings.pipelines_reference).values():
            if pipeline.view in parts.catalog.views:
                _compute(parts, pipeline)
        computed = load_pipelines(settings.pipelines_reference).keys()
        for view in parts.catalog.views.values():
            # What no pipeline computes may have got rows without our knowledge, or pushed ones that never came online.
            if view.online and view.enabled and (view.name not in computed or _is_behind(parts, view.name)):
                materialize_view(parts, view.name, quiet=True)


def _compute(parts: Deployment, pipeline: Pipeline) -> None:
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    if pipeline.write_sample_events:
        with progress_bar("Sample events") as report:
            written = pipeline.write_sample_events(parts.settings.events_folder, today, report)
        if written:
            out.print(f"  {written:,} sample events written to {parts.settings.events_folder}")
    moments = [today - timedelta(days=day) for day in reversed(range(_HISTORY_DAYS))]
    run_pipeline(parts, pipeline, moments, None)


def _is_behind(parts: Deployment, view: str) -> bool:
    """Whether a view was never materialized, or rows were computed for it after it was."""
    materialized = parts.metadata.last_finished(parts.repo.project, "materialize", view)
    computed = parts.metadata.last_finished(parts.repo.project, "compute", view)
    return materialized is None or (computed is not None and computed > materialized)


def _banner(parts: Deployment, listener: socket.socket) -> None:
    base = serving.address(listener)
    out.print(f"\n[bold]Freshet serves {parts.repo.project} at {base}[/]")
    example = next(filter(None, (_example(parts, service, base) for service in parts.catalog.services.values())), None)
    if example:
        out.print("\nTry:", example, sep="\n  ", soft_wrap=True)
    out.print(f"\nDocs: {base}/docs   Metrics: {base}/metrics   Ready: {base}/readyz   Stop: Ctrl-C\n")


def _example(parts: Deployment, service: ServiceSpec, base: str) -> str | None:
    """A curl line for a feature service with a key that the offline data has, or None if it has none."""
    try:
        plan = compile_service(parts.catalog, service, parts.online)
    except FreshetError:
        return None
    key = _example_key(parts, plan)
    if key is None or plan.request_fields:
        return None
    names = [output.feature for output in plan.outputs]
    full = ["full_feature_names=true"] if len(set(names)) < len(names) else []
    query = "&".join([*(f"{name}={value}" for name, value in key.items()), *full])
    return f"curl -s '{base}/v1/online-features/{service.name}?{query}'"


def _example_key(parts: Deployment, plan: ServingPlan) -> dict[str, str] | None:
    """Key values from the view with most key columns; every other key column must be among its own."""
    widest = max(plan.views, key=lambda planned: len(planned.key_columns), default=None)
    if widest is None or set(plan.join_keys) - set(widest.key_columns):
        return None
    row = parts.newest_key(widest.view, now())
    if row is None or not all(str(value).replace("_", "").replace("-", "").isalnum() for value in row):
        return None
    return dict(zip(widest.key_columns, map(str, row), strict=True))
