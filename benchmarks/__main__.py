"""`python -m benchmarks`: the command line of the benchmark."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

# Before anything imports feast: it would make a folder of its own for metrics and leave it behind.
_METRICS = tempfile.mkdtemp(prefix="freshet-bench-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.environ["PROMETHEUS_MULTIPROCESS_DIR"] = _METRICS
atexit.register(shutil.rmtree, _METRICS, ignore_errors=True)

from app.startup import import_feast_fast  # noqa: E402

# 1.7 s instead of 5; it changes nothing of how Feast writes.
import_feast_fast()

from benchmarks import load  # noqa: E402
from benchmarks.cases import BESIDE, CASES, COST  # noqa: E402
from benchmarks.check import WrongAnswerError  # noqa: E402
from benchmarks.exporting.cases import NAMES as EXPORT_NAMES  # noqa: E402
from benchmarks.exporting.dataset import Sizes  # noqa: E402
from benchmarks.exporting.run import ExportOptions, run_exports  # noqa: E402
from benchmarks.progress import console, err  # noqa: E402
from benchmarks.pushing.cases import PUSH_CASES  # noqa: E402
from benchmarks.pushing.run import run as run_pushes  # noqa: E402
from benchmarks.report import report  # noqa: E402
from benchmarks.results import Record  # noqa: E402
from benchmarks.run import Options, run  # noqa: E402
from benchmarks.soak import SoakOptions, soak  # noqa: E402
from benchmarks.stolen import TRIES  # noqa: E402

HERE = Path(__file__).resolve().parent
_LEAST_USERS = 100
_NAMES = (*CASES, COST, BESIDE, *PUSH_CASES)
PAGE, DATA = "RESULTS.md", "results.json"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")

Output = Annotated[
    Path | None,
    typer.Option(help=f"Folder for {PAGE} and {DATA}. Default: benchmarks/ for a whole run, else nothing is written."),
]
Python = Annotated[bool, typer.Option("--python", help="Make the load in Python instead of wrk. Not for publishing.")]


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="A smoke run: little data, 1 round of 1 s.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CASE", help=f"Only this case: {', '.join(_NAMES)}. May repeat.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the tables show medians.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Of load per contestant, case and round.")] = 8,
    tries: Annotated[
        int, typer.Option(min=1, help="Of each measurement at most, where the hypervisor takes much CPU time from it.")
    ] = TRIES,
    timeout: Annotated[
        float | None,
        typer.Option(help="FRESHET_ONLINE_TIMEOUT in seconds, in place of the default; noted on the page."),
    ] = None,
    block: Annotated[
        bool, typer.Option("--block", help="Let the relay hold its event loop while Redis works.")
    ] = False,
    output: Output = None,
    python: Python = False,
) -> None:
    """Freshet beside `feast serve` and beside the limit of Python: online reads, and pushes, in one run on this
    machine.

    Starts a Redis of its own, applies a Feast repo, lets stock Feast write 100,000 users and 10,000 accounts, starts
    `freshet serve`, `feast serve` and a relay of raw Redis replies over the same data, compares their answers with what
    was written, and then loads one after the other, round after round. Then pushes, in the same way, with a PostgreSQL
    of its own beside Redis. A whole run takes about twenty minutes. What it started, it ends; what it wrote, it
    removes, but for the results.

    [bold]make bench[/bold] is the whole run. While you work on something:

      python -m benchmarks --quick                      # is it in order?
      python -m benchmarks --only one --rounds 1        # how fast is one entity?
      python -m benchmarks --only push-batch            # how fast are rows written?
      python -m benchmarks profile --entities 100       # where does the time go?
      python -m benchmarks exports --rounds 1           # how fast are training sets?
      python -m benchmarks soak --minutes 2             # does it leak?
    """
    if context.invoked_subcommand:
        return
    unknown = set(only or []) - set(_NAMES)
    if unknown:
        raise typer.BadParameter(f"no such case: {', '.join(sorted(unknown))}", param_hint="--only")
    whole = not quick and not only
    options = Options(
        only=tuple(only or []),
        generator=_generator(python, may_fall_back=quick),
        command=_command(),
        settings={"FRESHET_ONLINE_TIMEOUT": f"{timeout:g}"} if timeout else {},
        relay_wait="block" if block else "async",
        tries=tries,
        **_amounts(quick, rounds, seconds),
    )
    try:
        record = Record(
            results=run(options) if options.reads else None,
            pushes=[run_pushes(options)] if not only or set(PUSH_CASES) & set(only) else [],
        )
    except WrongAnswerError as error:
        err.print(str(error), markup=False)
        raise typer.Exit(1) from None
    for one in (record.results, *record.pushes):
        if timeout and one:
            one.about["setting"] = f"FRESHET_ONLINE_TIMEOUT={timeout:g}"
    _finish(record, output or (HERE if whole else None))


def _amounts(quick: bool, rounds: int, seconds: int) -> dict[str, Any]:
    if quick:
        few = {"users": 1_000, "accounts": 100, "compared": 2_000}
        return {"rounds": 1, "seconds": 1, "warm_up": 0, "cost_seconds": 0.1, "cost_least": 1, **few}
    return {"rounds": rounds, "seconds": seconds}


@app.command("exports")
def exports_command(
    quick: Annotated[bool, typer.Option("--quick", help="A smoke run: little data, 1 round.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CASE", help=f"Only this case: {', '.join(EXPORT_NAMES)}. May repeat.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the tables show medians.")] = 3,
    tries: Annotated[int, typer.Option(min=1, help="Of each measurement at most; see above.")] = TRIES,
    output: Output = None,
    python: Python = False,
) -> None:
    """Training sets beside stock Feast's, from PostgreSQL and from Parquet, and beside a bare DuckDB join; their
    memory; and what online reads wait meanwhile.

    Every result is compared with the right one, row by row.
    """
    if unknown := set(only or []) - set(EXPORT_NAMES):
        raise typer.BadParameter(f"no such case: {', '.join(sorted(unknown))}", param_hint="--only")
    few: dict[str, Any] = {"rows": 1_000, "large": 5_000, "sizes": Sizes(1_000, 10_000, 20_000), "seconds": 1}
    options = ExportOptions(
        rounds=1 if quick else rounds,
        tries=tries,
        only=tuple(only or []),
        generator=_generator(python, may_fall_back=quick),
        command=_command(),
        **({**few, "users": 1_000} if quick else {}),
    )
    try:
        record = Record(exports=run_exports(options))
    except WrongAnswerError as error:
        err.print(str(error), markup=False)
        raise typer.Exit(1) from None
    _finish(record, output or (HERE if not quick and not only else None))


@app.command("soak")
def soak_command(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10.0,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the server.")] = 10.0,
    users: Annotated[int, typer.Option(min=_LEAST_USERS, help="Entities in the store.")] = 100_000,
    output: Output = None,
    python: Python = False,
) -> None:
    """Half of the peak rate for ten minutes: do memory and descriptors of `freshet serve` stay flat?

    The load is open-loop: requests are due at a fixed rate, whether the server keeps up or not. Writes a section of
    benchmarks/RESULTS.md when it ran for ten minutes or more.
    """
    options = SoakOptions(
        minutes=minutes, every=every, users=users, generator=_generator(python, may_fall_back=True), command=_command()
    )
    _finish(Record(soak=soak(options)), output or (HERE if minutes >= 10 else None))


@app.command("against")
def against_command(
    other: Annotated[Path, typer.Argument(help="The root of another checkout, from `git worktree add` for example.")],
    rounds: Annotated[int, typer.Option(min=1, help="Of both servers in turn.")] = 10,
    seconds: Annotated[int, typer.Option(min=1, help="Of load per server, read and round.")] = 3,
    users: Annotated[int, typer.Option(min=_LEAST_USERS, help="Entities in the store.")] = 20_000,
    inside: Annotated[bool, typer.Option("--in-process", help="Without HTTP; the CPU time alone.")] = False,
    python: Python = False,
) -> None:
    """What a change costs a read: this tree beside another one, over the same data and in the same environment."""
    from benchmarks.against import against, in_process

    if inside:
        in_process(other.resolve(), rounds, users)
        return
    against(other.resolve(), rounds, seconds, users, _generator(python, may_fall_back=True))


@app.command("profile")
def profile_command(
    entities: Annotated[int, typer.Option(min=1, help="Per request.")] = 1,
    store: Annotated[str, typer.Option(help="redis or sqlite.")] = "redis",
    get: Annotated[bool, typer.Option("--get", help="GET instead of POST; 1 entity only.")] = False,
    seconds: Annotated[int, typer.Option(min=1, help="Of load.")] = 10,
    top: Annotated[int, typer.Option(min=1, help="Lines per table.")] = 30,
    push: Annotated[
        str | None, typer.Option(metavar="CONTESTANT", help="Pushes of 1,000 rows instead: freshet-arrow, say.")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="100 features of 10 views instead of 9 of 2.")] = False,
    calls: Annotated[
        bool, typer.Option("--calls", help="cProfile: exact counts, event loop only, several times slower.")
    ] = False,
) -> None:
    """Where `freshet serve` spends its time under load.

    Samples with py-spy where that is installed (`.venv/bin/uv pip install py-spy`, and the right to trace one's own
    processes); without it, or with --calls, counts calls with cProfile.
    """
    from benchmarks.profile import profile
    from benchmarks.pushing.profile import profile_pushes

    if push is not None:
        profile_pushes(push, seconds, top, _generator(False, may_fall_back=True))
        return
    if get and entities != 1:
        raise typer.BadParameter("a GET reads one entity", param_hint="--get")
    name = "freshet-get" if get else "freshet"
    profile(name, entities, store, seconds, top, calls, _generator(False, may_fall_back=True), wide)


def _generator(python: bool, may_fall_back: bool) -> load.Generator:
    if python:
        return "python"
    if load.have_wrk():
        return "wrk"
    if may_fall_back:
        err.print("wrk is not installed; the load comes from Python. For real figures: apt-get install wrk")
        return "python"
    err.print("The load comes from wrk, which is not installed: apt-get install wrk (or use --quick, or --python)")
    raise typer.Exit(2)


def _finish(record: Record, folder: Path | None) -> None:
    """Show the page, and write it beside what is already known of the other parts."""
    if folder is None:
        console.print(report(record), markup=False, highlight=False, soft_wrap=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        record = record.over(Record.read(folder / DATA))
        record.write(folder / DATA)
        (folder / PAGE).write_text(report(record), encoding="utf-8")
        console.print(report(record), markup=False, highlight=False, soft_wrap=True)
        err.print(f"Written: {PAGE} and {DATA} in {folder.name}/")
    if failures := sum(one.failures() for one in (record.results, *record.pushes, record.exports) if one):
        err.print(f"{failures:,} requests failed; see the tables")


def _command() -> str:
    return " ".join(["python -m benchmarks", *sys.argv[1:]])


if __name__ == "__main__":
    # Ended from outside, it still ends its servers and removes its folder.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    app()
