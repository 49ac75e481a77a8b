"""The `freshet` command: what each command takes, and every expected failure as one line on stderr.

The commands themselves are in app.commands. They are imported when they run, because importing Feast takes seconds
and `freshet --help` should not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from app import startup
from app.errors import FreshetError

# Before any command imports what reaches prometheus_client or feast; uvicorn's workers import this module, too.
startup.prepare_metrics()
if sys.argv[1:2] != ["apply"]:
    startup.import_feast_fast()

app = typer.Typer(
    name="freshet",
    help="A feature server for Feast. Settings come from FRESHET_* variables or .env; see docs/configuration.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
database = typer.Typer(help="The metadata database (FRESHET_DATABASE_URL).", no_args_is_help=True)
app.add_typer(database, name="db")

Host = Annotated[
    str, typer.Option(help="Address to listen on. Beyond loopback only with FRESHET_ALLOW_ANONYMOUS=true.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Server processes.")]
BackgroundWorker = Annotated[
    bool,
    typer.Option("--worker/--no-worker", help="Run background jobs in a process beside the server (`freshet worker`)."),
]
Views = Annotated[list[str] | None, typer.Option("--view", help="Only this feature view; may be repeated.")]
Force = Annotated[bool, typer.Option("--force", help="Compute again what has been computed before.")]


@app.command()
def up(host: Host = "127.0.0.1", port: Port = 8000, workers: Workers = 1, worker: BackgroundWorker = True) -> None:
    """Set everything up and serve: migrate, apply, compute, materialize, serve.

    Steps that are done already are skipped, so a second start is quick and changes no data. Where there are no raw
    events at all, sample events are written for the pipelines that come with some.
    """
    from app.commands.up import up as run

    run(host, port, workers, worker)


@app.command()
def serve(host: Host = "127.0.0.1", port: Port = 8000, workers: Workers = 1, worker: BackgroundWorker = True) -> None:
    """Serve features over HTTP.

    Needs a registry (freshet apply); picks up later changes of it by itself. SIGTERM turns /readyz to 503, waits
    FRESHET_SHUTDOWN_DELAY seconds and stops; Ctrl-C stops at once.
    """
    from app.commands.serve import serve as run

    run(host, port, workers, worker)


@app.command()
def worker(
    supervised: Annotated[
        bool, typer.Option("--supervised", hidden=True, help="Stop when standard input closes, and step back.")
    ] = False,
) -> None:
    """Run background jobs.

    `freshet serve` runs one worker by itself; run more of them, on any machine, for more jobs at once. SIGTERM and
    Ctrl-C stop it within seconds: what it was at goes on in another worker, or when the next one starts.
    """
    if supervised:
        startup.step_back()
    from app.commands.worker import worker as run

    run(supervised)


@app.command()
def apply() -> None:
    """Bring the repo's definitions into the registry.

    Creates the online tables they need. Running it again changes nothing. What the repo no longer defines stays in the
    registry, with its data.
    """
    from app.commands.definitions import apply as run

    run()


@app.command()
def compute(
    as_of: Annotated[str | None, typer.Option(help="Compute as of this time (UTC). Default: today's midnight.")] = None,
    known_at: Annotated[
        str | None, typer.Option(help="Count events that had arrived by this time. Default: the as-of time itself.")
    ] = None,
    view: Views = None,
    force: Force = False,
) -> None:
    """Compute features from raw events into the offline store.

    Every pipeline (FRESHET_PIPELINES) whose feature view is in the registry runs once, as of one moment. The same
    moment is not computed twice unless --force is given.
    """
    from app.commands.features import compute as run

    run(as_of, known_at, view, force)


@app.command()
def backfill(
    view: Annotated[str, typer.Argument(help="The feature view to recompute.")],
    start: Annotated[str, typer.Option("--from", help="First day (UTC midnight).")],
    end: Annotated[str, typer.Option("--to", help="Last day (UTC midnight), included.")],
    force: Force = False,
) -> None:
    """Recompute a feature view for a range of past days, each with what was known on that day."""
    from app.commands.features import backfill as run

    run(view, start, end, force)


@app.command()
def materialize(
    view: Views = None,
    start: Annotated[str | None, typer.Option(help="From this event time. Default: since the last success.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to this event time. Default, and at most: now.")] = None,
) -> None:
    """Bring the newest offline row of every entity online.

    Never replaces a newer online row by an older one, so it may run beside pushes and may be repeated.
    """
    from app.commands.features import materialize as run

    run(view, start, end)


@app.command()
def export(
    service: Annotated[str | None, typer.Option(help="The feature service to export.")] = None,
    feature: Annotated[
        list[str] | None, typer.Option(metavar="VIEW:FEATURE", help="Instead of a service: a feature. May repeat.")
    ] = None,
    spine: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parquet, CSV or Arrow: event_timestamp and the join keys.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Where the result goes: a path, or a URL such as s3://…")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="parquet, csv, arrow or jsonl. Default: what the name ends with.")
    ] = None,
    known_at: Annotated[
        bool, typer.Option("--known-at", help="Count only what had been created by the time of each row.")
    ] = False,
    full_feature_names: Annotated[
        bool, typer.Option("--full-feature-names", help="Name columns view__feature.")
    ] = False,
    reproduce: Annotated[
        Path | None,
        typer.Option(metavar="MANIFEST", help="Run the export of a manifest again, and compare the checksum."),
    ] = None,
) -> None:
    """Make a training set: the features as they held at the time of each row of the spine.

    One row per row of the spine, in its order, with all of its columns. Beside the result lies its manifest: what it
    was made of, its checksum, and how much of each feature is missing, and why.

      freshet export --service assistant_v1 --spine labels.csv --out training.parquet
      freshet export --reproduce training.parquet.manifest.json

    The second counts no row that was created after the first; its exit status is 1 where the data differ.
    """
    from app.commands import export as commands

    if reproduce is not None:
        if not commands.reproduce(reproduce, spine, target):
            raise typer.Exit(1)
        return
    if spine is None or target is None:
        missing = "--spine" if spine is None else "--out"
        raise typer.BadParameter("is needed, unless --reproduce says all", param_hint=missing)
    commands.export(service, feature, spine, target, form, known_at, full_feature_names)


@app.command()
def freshness(
    views: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="Only these. Default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what GET /v1/freshness answers.")] = False,
) -> None:
    """Show how fresh the online data of every feature view are, the worst first.

    It looks into the online store itself, whoever wrote it. Exit status 1 where a view breaks its SLA, 2 where that
    cannot be found out, so that a scheduler can gate on it.
    """
    from app.commands.freshness import UNKNOWN
    from app.commands.freshness import freshness as run

    try:
        status = run(views, as_json)
    except (FreshetError, ValidationError) as error:
        _tell(error)
        status = UNKNOWN
    raise typer.Exit(status)


@database.callback()
def database_group() -> None:
    """The metadata database (FRESHET_DATABASE_URL)."""


@database.command()
def upgrade() -> None:
    """Bring the schema to the newest revision. Running it again changes nothing."""
    from app.commands.database import upgrade as run

    run()


def main() -> None:
    """Run the command line; exit status 1 and one line for every failure that the program foresees."""
    try:
        app()
    except (FreshetError, ValidationError) as error:
        _tell(error)
        sys.exit(1)
    except KeyboardInterrupt:
        _stderr().print("Stopped.")
        sys.exit(130)


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _tell(error: FreshetError | ValidationError) -> None:
    """Say in one line what is wrong: with a request, a store or a setting."""
    if isinstance(error, FreshetError):
        # What the detail does not say itself.
        faults = [f"\n  {fault.field}: {fault.message}" for fault in error.errors if fault.message not in error.detail]
        message = error.detail + "".join(faults)
    else:
        first = error.errors(include_input=False, include_url=False)[0]
        message = f"FRESHET_{'.'.join(str(part) for part in first['loc']).upper()}: {first['msg']}"
    console = _stderr()
    console.print("[bold red]error:[/]", end=" ")
    console.print(message, markup=False)


if __name__ == "__main__":
    main()
