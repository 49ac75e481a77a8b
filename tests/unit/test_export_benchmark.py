"""The verdicts of the benchmark of exports: what it calls wrong, and what it does about that."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from benchmarks.check import WrongAnswerError
from benchmarks.exporting.bare import opened
from benchmarks.exporting.check import Verdict, check, compare, expect
from benchmarks.exporting.dataset import VIEWS, Sizes, write_history, write_spine
from benchmarks.exporting.repo import history_file
from benchmarks.exporting.results import Exports, ExportSample
from benchmarks.exporting.targets import export_targets
from benchmarks.report import report
from benchmarks.results import Record

ROWS = 3_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """History, a spine and what is right for it."""
    place = tmp_path_factory.mktemp("exports")
    sizes = Sizes(entities=20, activity=3_000, profile=5_000)
    for view in VIEWS:
        write_history(history_file(place, view.name), view, sizes)
    write_spine(place / "spine.parquet", ROWS, sizes)
    expect(place, place / "spine.parquet")
    return place


def written(folder: Path, query: str) -> Path:
    target = folder / "result.parquet"
    duckdb.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)")
    return target


def right(folder: Path) -> str:
    return f"SELECT * EXCLUDE (plain) FROM '{folder / 'expected-spine.parquet'}' ORDER BY spine_row"


def judged(folder: Path, query: str) -> tuple[Verdict, Path]:
    result = written(folder, query)
    return compare(folder / "expected-spine.parquet", result), result


def test_what_is_right_is_right_once_and_in_order(folder: Path) -> None:
    verdict, result = judged(folder, right(folder))
    assert verdict == Verdict(ROWS, 0, 0)
    check("freshet", verdict, result, ROWS)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("SELECT * FROM ({right}) WHERE spine_row <> 7", 1),
        ("SELECT * FROM ({right}) UNION ALL SELECT * FROM ({right}) WHERE spine_row IN (7, 8)", 2),
        ("SELECT * REPLACE (CASE WHEN spine_row <> 7 THEN device ELSE 'other' END AS device) FROM ({right})", 1),
        ("SELECT * REPLACE (CASE WHEN spine_row >= 2 THEN device ELSE 'null' END AS device) FROM ({right})", 2),
    ],
)
def test_a_row_that_is_missing_doubled_or_other_is_wrong(folder: Path, change: str, wrong: int) -> None:
    verdict, result = judged(folder, change.format(right=right(folder)))
    assert verdict.wrong == wrong
    with pytest.raises(WrongAnswerError):
        check("freshet", verdict, result, ROWS)


def test_rows_out_of_order_are_a_wrong_answer(folder: Path) -> None:
    verdict, result = judged(folder, f"SELECT * FROM ({right(folder)}) ORDER BY spine_row DESC")
    assert verdict == Verdict(ROWS, 0, 0)
    with pytest.raises(WrongAnswerError):
        check("freshet", verdict, result, ROWS)


def test_the_bare_join_is_right_but_for_ties_and_old_values(folder: Path) -> None:
    with opened(folder / "repo") as export:
        export(folder / "spine.parquet", folder / "bare.parquet")
    verdict = compare(folder / "expected-spine.parquet", folder / "bare.parquet")
    assert verdict.rows == ROWS
    assert verdict.wrong > 0
    check("bare", verdict, folder / "bare.parquet", ROWS)
    with pytest.raises(WrongAnswerError):
        check("bare", Verdict(ROWS, 1, 1), folder / "bare.parquet", ROWS)


def sample(case: str, contestant: str, seconds: float, peak: int = 2**29, rows: int = 1_000_000) -> ExportSample:
    return ExportSample(case, contestant, 0, seconds, peak, 2**27, rows, 0)


def test_targets_are_missed_by_a_little() -> None:
    def verdicts(*samples: ExportSample) -> list[bool | None]:
        return [one.met for one in export_targets(Exports({}, list(samples)))]

    postgres = [sample("export-postgres", "feast", 60.0), sample("export-parquet", "feast", 6.0)]
    bare = sample("export-parquet", "bare", 1.0)
    met = [sample("export-postgres", "freshet", 4.0), sample("export-parquet", "freshet", 2.0)]
    missed = [sample("export-postgres", "freshet", 4.1, 5 * 2**28), sample("export-parquet", "freshet", 2.1)]
    large = "export-large", "freshet", 20.0
    assert verdicts(*postgres, bare, *met, sample(*large, 2**30)) == [True, True, True, True, True, None]
    assert verdicts(*postgres, bare, *missed, sample(*large, 2**30 + 1)) == [False, False, False, False, False, None]
    assert verdicts() == [None] * 6


def test_a_run_is_kept_and_other_runs_leave_it_as_it_is(tmp_path: Path) -> None:
    exports = Exports(
        {"date": "then"}, [sample("export-parquet", "freshet", 2.0), sample("export-parquet", "bare", 1.0)]
    )
    Record(exports=exports).write(tmp_path / "results.json")
    known = Record.read(tmp_path / "results.json")
    assert known.exports == exports
    page = report(Record().over(known))
    assert "### Export of 1,000,000 rows from Parquet" in page
    assert "| freshet | 2.00 | 2.00 - 2.00 | 500,000 | - | 0.5 x |" in page
