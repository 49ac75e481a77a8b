"""app.durations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        (90, timedelta(seconds=90)),
        (0.5, timedelta(milliseconds=500)),
        ("90", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("26h", timedelta(hours=26)),
        ("1.5d", timedelta(hours=36)),
        ("PT5M", timedelta(minutes=5)),
        ("P1DT2H", timedelta(hours=26)),
        ("P2W", timedelta(weeks=2)),
    ],
)
def test_every_spelling(text: str | float, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "soon", "-1h", "15 m", "m", "1y", "PT5", True, -1, float("nan"), 1e300]
)
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)
