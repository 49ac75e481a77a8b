"""The table of `freshet freshness`: ages for people, and never wider than the screen; and the exit status."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from app.commands.freshness import exit_status
from app.commands.freshness_table import human, print_table
from app.freshness.finding import EntityAges, Finding
from app.freshness.view import ViewFreshness, judge
from tests.unit.catalogs import profile

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WATCHED = replace(profile, owner="somebody@example.com", tags={"freshness_sla": "1h"})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (11_520, "3 h 12 min"),
        (26 * 3600, "26 h"),
        (48 * 3600, "2 d"),
        (49 * 3600 + 59, "2 d 1 h"),
        (400 * 86_400, "400 d"),
    ],
)
def test_a_duration_in_words(seconds: float, said: str) -> None:
    assert human(timedelta(seconds=seconds)) == said
    assert human(None) == "–"


def state(name: str, age: timedelta | None, **changed: object) -> ViewFreshness:
    """A view whose data are of this age; None: it has none."""
    found = Finding(has_rows=False) if age is None else Finding(has_rows=True, newest=NOW - age)
    return judge(replace(WATCHED, name=name), replace(found, **changed), NOW, NOW)  # type: ignore[arg-type]


def printed(width: int, states: list[ViewFreshness], patch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the table and of what follows it."""
    console = Console(width=width, highlight=False, file=io.StringIO())
    patch.setattr("app.commands.freshness_table.Console", lambda **_: console)
    print_table(states, None)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_columns_go_where_the_screen_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [state("clicks", 20 * MINUTE, ages=EntityAges(60.0, 3600.0, 90_000.0))]
    heads = {width: printed(width, states, monkeypatch)[0] for width in (130, 100, 70, 40)}

    assert heads[130].endswith("owner")
    assert heads[100].endswith("entities p50 / p95 / max")
    assert heads[70].endswith("newest event (UTC)")
    assert heads[40].endswith("SLA")
    assert "1 min / 1 h / 25 h" in printed(130, states, monkeypatch)[1]


@given(names=st.lists(st.text("abcdefgh_", min_size=1, max_size=120), max_size=4), width=st.integers(60, 200))
def test_no_line_of_the_table_is_wider_than_the_screen_and_no_name_is_cut(names: list[str], width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lines = printed(width, [state(name, 3 * MINUTE) for name in names], patch)

    table = "".join(lines[1:-1])
    assert all(len(line) <= width for line in lines[:-1])
    assert all(table.count(character) >= "".join(names).count(character) for character in "abdgh_")


def test_the_last_line_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [state("clicks", MINUTE), judge(profile, None, None, NOW)]

    assert printed(80, states, monkeypatch)[-1] == "2 feature views, 1 without an SLA; probed now"
    assert printed(80, [], monkeypatch) == ["0 feature views, 0 without an SLA; probed now"]


@pytest.mark.parametrize(
    ("ages", "status"),
    [([], 0), ([1], 0), ([55], 0), ([1, 61], 1), ([None], 1), (["unknown", 1], 2), (["unknown", None], 1)],
)
def test_the_exit_status(ages: list[object], status: int) -> None:
    states = [
        state("view", None, has_rows=None) if age == "unknown" else state("view", age and int(str(age)) * MINUTE)  # type: ignore[arg-type]
        for age in ages
    ]

    assert exit_status(states) == status
